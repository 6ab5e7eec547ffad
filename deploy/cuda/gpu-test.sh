#!/usr/bin/env bash
# Runs GPU tests that were built elsewhere on a machine with a GPU, where neither Rust nor a network need be; then measures training,
# attack and evaluation, beside PyTorch where a Python has it.
#
#   gpu-test.sh [FOLDER]     FOLDER, by default this script's own, is as deploy/cuda/pack.sh leaves it
#
# CUDA's libraries are looked for beside PyTorch, if the folder NVIDIA_WHEELS or a Python with PyTorch is there, and in /usr/local.
set -uo pipefail
packed=$(cd "${1:-$(dirname "$0")}" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for program in "$packed"/*.xz; do
    name=$(basename "$program" .xz)
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$program" "$folder/$name"
    chmod +x "$folder/$name"
done
wheels=${NVIDIA_WHEELS:-$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)}
for libraries in "$wheels"/*/lib /usr/local/cuda*/lib64; do
    [ -d "$libraries" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
done
export LD_LIBRARY_PATH
status=0

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for program in "$folder"/*; do
    if missing=$(ldd "$program" | grep 'not found'); then
        echo "$program lacks"$'\n'"$missing"
        status=1
    fi
done
# A kernel that never ends must not eat the time that a machine is lent for.
for tests in "$folder"/*_gpu; do
    [ -x "$tests" ] || continue
    echo "== $(basename "$tests" _gpu)"
    timeout 150 "$tests" || status=1
done
if [ -x "$folder/rrm-worker" ]; then
    for arch in resnet18 vgg11; do
        for mode in train attack eval; do
            for rounding in '' --tf32 '--precision bf16'; do
                # shellcheck disable=SC2086
                told=$("$folder/rrm-worker" bench --arch $arch --mode $mode --batch 128 --steps 30 --device cuda:0 $rounding 2>&1)
                echo "${rounding:---f32} $told"
            done
        done
    done
    if python3 -c 'import torch' 2>/dev/null; then
        timeout 150 python3 "$packed/on_gpu.py" 128
    else
        echo "skipped: no PyTorch to compare with"
    fi
fi
exit $status
