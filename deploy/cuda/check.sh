#!/usr/bin/env bash
# Type-checks the worker with the feature `cuda` on a machine without GPU and without CUDA toolkit.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
ln -s "$PWD/deploy/cuda/fake-nvcc" "$tools/nvcc"
export PATH="$tools:$PATH" NVCC="$tools/nvcc" CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=80
exec cargo check --locked -p rrm-worker --features cuda --all-targets "$@"
