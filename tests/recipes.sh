#!/usr/bin/env bash
# Every recipe cpu/... from its submission to its report, with so few images that two cores are done in minutes: the graph of jobs, every
# method, attack and report is the real one, the numbers mean nothing. Usage: tests/recipes.sh FOLDER-OF-BINARIES
# ONLY=TEXT runs only the recipes with this text in their names, KEEP=FOLDER keeps the reports. RRM_DATA_DIR holds CIFAR-10.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "$1" && pwd)
data=${RRM_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/rrm}
if [ ! -e "$data/cifar-10-batches-bin/test_batch.bin" ]; then
    echo "RECIPES SKIPPED: $data holds no CIFAR-10 (\`rrm data fetch cifar10\`, or RRM_DATA_DIR)" >&2
    exit 0
fi
work=$(mktemp -d)
reports=${KEEP:-$work/reports}
mkdir -p "$reports"

stop() {
    kill "${worker:-}" 2>/dev/null && wait "$worker" || true
    kill "${daemon:-}" 2>/dev/null && wait "$daemon" || true
    rm -rf "$work"
}
trap stop EXIT

"$bin/rrmd" serve --state-dir "$work/state" --listen 127.0.0.1:0 2>"$work/rrmd.log" &
daemon=$!
# The interval of asking.
until [ -s "$work/state/address" ]; do kill -0 "$daemon" && sleep 0.1; done
RRM_STATE_DIR=$work/state RRM_SERVER=$(cat "$work/state/address") RRM_TOKEN_FILE=$work/state/token-user
export RRM_STATE_DIR RRM_SERVER RRM_TOKEN_FILE
"$bin/rrm-worker" serve --token-file "$work/state/token-worker" --work-dir "$work/worker" --data-dir "$data" 2>"$work/worker.log" &
worker=$!

# One batch an epoch, one batch an evaluation.
shrink() { sed -E 's/train_images = [0-9]+/train_images = 64/; s/([^_a-z]|^)images = [0-9]+/\1images = 16/'; }

failed=0
for recipe in $("$bin/rrm" recipe list | grep -oE '^cpu/[a-z0-9.]+' | grep -F "${ONLY:-}"); do
    begun=$SECONDS
    "$bin/rrm" recipe show "$recipe" --seeds 0 | shrink >"$work/plan.toml"
    if "$bin/rrm" submit "$work/plan.toml" --reuse --wait >"$work/output" 2>&1 &&
        "$bin/rrm" report "${recipe#cpu/}" -o "$reports/${recipe#cpu/}.md" >>"$work/output" 2>&1; then
        echo "$recipe: $(grep -c '^\[\[job' "$work/plan.toml") jobs, $((SECONDS - begun)) s"
    else
        tail -n 20 "$work/output" "$work/worker.log" >&2
        echo "$recipe: FAILED" >&2
        failed=1
    fi
done
exit $failed
