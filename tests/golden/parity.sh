#!/usr/bin/env bash
# Compares with PyTorch and the reference code live: writes a golden folder of a fresh seed and makes every comparison with it.
# SEED=N repeats a run, ONLY=TEXT makes only the comparisons whose name has this text in it.
# PyTorch comes from the benchmark's virtual environment (RRM_BENCH_PYTHON names another Python, which then must have the rest, too).
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted=$PWD/tests/golden/requirements.txt
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}

skip() {
    echo "PARITY SKIPPED: $1" >&2
    exit 0
}

# What the benchmark's environment has not.
add_to_venv() {
    local marker
    marker=$(dirname "$python")/../golden-requirements.txt
    cmp --silent "$wanted" "$marker" && return
    "$python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2 && cp "$wanted" "$marker"
}

python=$(crates/bench/python.sh) || skip "there is no PyTorch"
[ -n "${RRM_BENCH_PYTHON:-}" ] || add_to_venv || skip "$wanted cannot be installed"
"$python" -c "import torch, numpy, safetensors, PIL, foolbox, pyautoattack" || skip "$python lacks a package of $wanted"

export PYTHONDONTWRITEBYTECODE=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "parity: seed $seed (to repeat: make parity SEED=$seed)"
"$python" tests/golden/generate.py "$folder" --seed "$seed"
"$python" tests/golden/generate_searches.py "$folder" --all
if ! RRM_GOLDEN_DIR=$folder cargo test --locked --workspace --test golden -- ${ONLY:+"$ONLY"}; then
    echo "parity: comparisons failed with seed $seed (to repeat: make parity SEED=$seed)" >&2
    exit 1
fi
