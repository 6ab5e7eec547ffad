#!/usr/bin/env bash
# Runs the benchmark, in a virtual environment with PyTorch that it makes where there is none yet. Options are the
# benchmark's: `crates/bench/bench.sh --help`. RRM_BENCH_PYTHON names a Python that has PyTorch already.
set -euo pipefail
cd "$(dirname "$0")/../.."
if python=$(crates/bench/python.sh); then
    export RRM_BENCH_PYTHON=$python
else
    echo "rows with PyTorch are skipped" >&2
fi
# What torch.compile has compiled serves the next run, too.
TORCHINDUCTOR_CACHE_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/bench/inductor
export TORCHINDUCTOR_CACHE_DIR
exec cargo bench --locked -p rrm-bench --bench performance -- "$@"
