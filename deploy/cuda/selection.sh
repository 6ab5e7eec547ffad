# Sourced by link.sh and pack.sh in the repository's root, with `toolkit` set: what they build, where, and with which compiler. One
# selection for all that they build, for with another one Cargo would compile nearly everything again, Candle's kernels included.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
. "$toolkit/env"
export REAL_NVCC=$NVCC NVCC=$PWD/deploy/cuda/ci-nvcc

# What lies below Candle is the same with and without CUDA, hence one folder for intermediate files and the whole workspace's features.
# The worker goes into a folder of its own: it does not start without CUDA's libraries, so it must not take the other one's place.
common=${CARGO_TARGET_DIR:-target}
export CARGO_BUILD_BUILD_DIR=${CARGO_BUILD_BUILD_DIR:-$common} CARGO_TARGET_DIR=$common/cuda
selection=(--locked --workspace --features rrm-worker/cuda)
# Candle's build script keeps kernels that it has, whoever compiled them, and those of check.sh are empty. Another profile keeps its
# files apart; the crate itself is nothing but text.
selection+=(--config 'profile.dev.package.candle-kernels.opt-level=0')
