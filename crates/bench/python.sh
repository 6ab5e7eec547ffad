#!/usr/bin/env bash
# Prints the path of a Python that has PyTorch: RRM_BENCH_PYTHON, or that of a virtual environment in the target folder, which it makes
# where there is none yet. Where none is to be had it says so and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/bench/venv
wanted=$PWD/crates/bench/peers/requirements.txt

make_venv() {
    echo "Installing PyTorch in $venv (3 GB, once) ..." >&2
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >&2 &&
        cp "$wanted" "$venv/requirements.txt"
}

if [ -n "${RRM_BENCH_PYTHON:-}" ]; then
    echo "$RRM_BENCH_PYTHON"
elif cmp --silent "$wanted" "$venv/requirements.txt" || make_venv; then
    echo "$venv/bin/python"
else
    echo "PyTorch is not to be had here (PyPI is out of reach, or python3-venv is missing)" >&2
    exit 1
fi
