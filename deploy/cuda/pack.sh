#!/usr/bin/env bash
# Builds the GPU tests and the worker for a machine that has a GPU, but neither Rust nor a network, and puts them into FOLDER with
# the script that runs them there.
#
#   CUDA_COMPUTE_CAP=90 deploy/cuda/pack.sh FOLDER [TOOLKIT]
#
# The GPU's compute capability must be the one that is built for: 90 is an H100.
set -euo pipefail
folder=$(realpath -m "${1:?usage: deploy/cuda/pack.sh FOLDER [TOOLKIT]}")
cd "$(dirname "$0")/../.."
toolkit=${2:-target/cuda-toolkit}
[ -e "$toolkit/env" ] || deploy/cuda/toolkit.sh "$toolkit"
# shellcheck disable=SC1091
. "$toolkit/env"
export REAL_NVCC=$NVCC NVCC=$PWD/deploy/cuda/ci-nvcc
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cuda

# The path of a package's test program `gpu`.
test_program() {
    cargo test --locked -p "$1" --features cuda --test gpu --no-run --message-format json |
        grep -o '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}

mkdir -p "$folder"
strip -o "$folder/kernels_gpu" "$(test_program rrm-kernels)"
strip -o "$folder/train_gpu" "$(test_program rrm-train)"
cargo build --locked -p rrm-worker --features cuda
strip -o "$folder/rrm-worker" "$CARGO_TARGET_DIR/debug/rrm-worker"
cp deploy/cuda/gpu-test.sh "$folder"
# Candle's kernels are text, and shrink to a sixth.
xz --force --threads=0 "$folder/kernels_gpu" "$folder/train_gpu" "$folder/rrm-worker"
du -sh "$folder"
