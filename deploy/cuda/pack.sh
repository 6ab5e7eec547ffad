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
# shellcheck source=deploy/cuda/selection.sh
. deploy/cuda/selection.sh

built=$(cargo build "${selection[@]}" --bin rrm-worker --test gpu --message-format json)
# The path of what was built of a package.
program() {
    grep "\"package_id\":\"[^\"]*#$1@" <<<"$built" | grep -o '"executable":"[^"]*"' | cut -d '"' -f 4
}

mkdir -p "$folder"
strip -o "$folder/kernels_gpu" "$(program rrm-kernels)"
strip -o "$folder/train_gpu" "$(program rrm-train)"
strip -o "$folder/rrm-worker" "$(program rrm-worker)"
cp deploy/cuda/gpu-test.sh crates/bench/peers/{on_gpu,pytorch}.py "$folder"
# Candle's kernels are text, and shrink to a sixth.
xz --force --threads=0 "$folder/kernels_gpu" "$folder/train_gpu" "$folder/rrm-worker"
du -sh "$folder"
