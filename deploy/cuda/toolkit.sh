#!/usr/bin/env bash
# Makes DEST a CUDA toolkit that compiles and links the worker on a machine without GPU and without NVIDIA's installer.
#
#   deploy/cuda/toolkit.sh DEST
#   . DEST/env
#
# Compiler and libraries come as Python wheels through pip, pinned to one CUDA release; the driver's library, which only a
# driver brings, is replaced by a stub that has every function and says in each that there is no driver.
#
# Ends with 69, "unavailable", where the wheels cannot be had, or not in a quarter of an hour; they are a gigabyte.
set -euo pipefail
destination=${1:?usage: deploy/cuda/toolkit.sh DEST}
wheels=(
    'cuda-toolkit[cccl,crt,cublas,cudart,curand,nvcc,nvrtc,nvvm]==13.0.3'
    'nvidia-cudnn-cu13==9.28.1.4'
)

if [ ! -x "$destination/venv/bin/pip" ]; then python3 -m venv "$destination/venv" || exit 69; fi
timeout 900 "$destination/venv/bin/pip" install --quiet --disable-pip-version-check "${wheels[@]}" || exit 69
packages=$("$destination/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
home=$packages/nvidia/cu13
cudnn=$packages/nvidia/cudnn

# The wheels hold libX.so.N alone; the linker asks for libX.so.
for library in "$home"/lib/lib*.so.* "$cudnn"/lib/lib*.so.*; do
    name=$(basename "$library")
    case $name in *.alt.*) continue ;; esac
    ln -sfn "$library" "$home/lib/${name%%.so.*}.so"
done
for library in "$cudnn"/lib/lib*.so.*; do ln -sfn "$library" "$home/lib/$(basename "$library")"; done
for header in "$cudnn"/include/*.h; do ln -sfn "$header" "$home/include/$(basename "$header")"; done

# Each function that the driver's header declares answers CUDA_ERROR_STUB_LIBRARY, which is 34; under its internal name too,
# where a macro gives it one.
stubs=$home/lib/stubs
mkdir -p "$stubs"
{
    gcc -E -P -D__CUDA_API_VERSION_INTERNAL -I"$home/include" "$home/include/cuda.h"
    gcc -E -P -I"$home/include" "$home/include/cuda.h"
} | tr '\n' ' ' | grep -oE 'CUresult +cu[A-Z][A-Za-z0-9_]* *\(' | grep -oE 'cu[A-Z][A-Za-z0-9_]*' |
    sort -u | grep -vE '^cuGetError(String|Name)$' >"$stubs/names"
{
    echo 'int cuGetErrorString(int code, const char **text) { *text = "no NVIDIA driver on this machine"; return 0; }'
    echo 'int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_STUB_LIBRARY"; return 0; }'
    sed 's/.*/int &(void) { return 34; }/' "$stubs/names"
} >"$stubs/cuda.c"
gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so.1" "$stubs/cuda.c"
ln -sfn libcuda.so.1 "$stubs/libcuda.so"

cat >"$destination/env" <<EOF
export CUDA_HOME=$home CUDA_PATH=$home
export NVCC=$home/bin/nvcc
export PATH=$home/bin:\$PATH
export LIBRARY_PATH=$home/lib:$stubs\${LIBRARY_PATH:+:\$LIBRARY_PATH}
export LD_LIBRARY_PATH=$home/lib:$stubs\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-80}
EOF
echo "CUDA toolkit in $home, $(wc -l <"$stubs/names") driver functions stubbed"
