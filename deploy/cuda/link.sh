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
if [ ! -e "$toolkit/env" ]; then
    made=0
    deploy/cuda/toolkit.sh "$toolkit" || made=$?
    case $made in
    0) ;;
    69)
        echo "skipped: the CUDA toolkit cannot be had here"
        exit 0
        ;;
    *) exit "$made" ;;
    esac
fi
# shellcheck source=deploy/cuda/selection.sh
. deploy/cuda/selection.sh

cargo build "${selection[@]}" --bin rrm-worker --test gpu
cargo test "${selection[@]}" --test gpu

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
