#!/usr/bin/env bash
# Runs the benchmark, in a virtual environment with PyTorch that it makes where there is none yet. Options are the
# benchmark's: `crates/bench/bench.sh --help`. RRM_BENCH_PYTHON names a Python that has PyTorch already.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/bench/venv
wanted=$PWD/crates/bench/peers/requirements.txt

make_venv() {
    echo "Installing PyTorch in $venv (3 GB, once) ..." >&2
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" &&
        cp "$wanted" "$venv/requirements.txt"
}

if [ -z "${RRM_BENCH_PYTHON:-}" ]; then
    if cmp --silent "$wanted" "$venv/requirements.txt" || make_venv; then
        export RRM_BENCH_PYTHON=$venv/bin/python
    else
        echo "PyTorch is not to be had here (PyPI is out of reach, or python3-venv is missing): rows with it are skipped" >&2
    fi
fi
# What torch.compile has compiled serves the next run, too.
export TORCHINDUCTOR_CACHE_DIR=$target/bench/inductor
exec cargo bench --locked -p rrm-bench --bench performance -- "$@"
