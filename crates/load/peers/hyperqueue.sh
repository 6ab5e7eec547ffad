#!/usr/bin/env bash
# HyperQueue in a virtual environment, which is made where there is none yet.
set -euo pipefail
cd "$(dirname "$0")/../../.."
venv=${CARGO_TARGET_DIR:-target}/load/venv
if ! "$venv/bin/python" -c 'import hyperqueue' 2>/dev/null; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'hyperqueue==0.27.0'; } >&2; then
        echo "the Python package hyperqueue cannot be had" >&2
        exit 69 # EX_UNAVAILABLE
    fi
fi
exec "$venv/bin/python" crates/load/peers/tasks_of_hyperqueue.py
