#!/usr/bin/env bash
# Compiles and links the worker and the GPU tests with CUDA, on a machine without GPU, and runs what runs without one: the worker
# on the CPU, and the compilation of every kernel to PTX.
#
#   deploy/cuda/link.sh [TOOLKIT]     TOOLKIT, by default target/cuda-toolkit, is made if it is not there
#
# Skipped, visibly, where the toolkit cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
toolkit=${1:-target/cuda-toolkit}
if [ ! -e "$toolkit/env" ] && ! deploy/cuda/toolkit.sh "$toolkit"; then
    echo "skipped: the CUDA toolkit cannot be had here"
    exit 0
fi
toolkit=$(cd "$toolkit" && pwd)
# shellcheck disable=SC1091
. "$toolkit/env"
export REAL_NVCC=$NVCC NVCC=$PWD/deploy/cuda/ci-nvcc
# A folder of its own: in the common one every crate above Candle would be compiled again, there and back.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cuda

cargo build --locked -p rrm-worker --features cuda
cargo test --locked -p rrm-kernels --features cuda --test gpu
cargo test --locked -p rrm-train --features cuda --test gpu

worker=$CARGO_TARGET_DIR/debug/rrm-worker
"$worker" bench --arch dnn/16 --mode train --batch 8 --steps 1
if answer=$("$worker" bench --arch dnn/16 --mode train --batch 8 --steps 1 --device cuda:0 2>&1); then
    echo "$answer"
elif [[ $answer == *"cannot use cuda:0"* ]]; then
    echo "skipped: no GPU to run the worker on ($answer)"
else
    echo "the worker does not say that it cannot use the GPU, but: $answer" >&2
    exit 1
fi
