#!/usr/bin/env bash
# The main job from nothing to a table and a figure: daemon, worker, plan, report. Interrupted, it goes on where it was.
# Usage: deploy/demo/demo.sh FOLDER-OF-BINARIES
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(cd "$1" && pwd)
run=$PWD/demo-run
mkdir -p "$run"

export RRM_TOKEN_FILE=$run/state/token-user

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

stop() {
    # TERM lets the worker stop its trainer at the next step; what is finished stays in the database.
    [ -z "${worker:-}" ] || kill "$worker" 2>/dev/null || true
    [ -z "${worker:-}" ] || wait "$worker" 2>/dev/null || true
    [ -z "${daemon:-}" ] || kill "$daemon" 2>/dev/null || true
    [ -z "${daemon:-}" ] || wait "$daemon" 2>/dev/null || true
}
trap stop EXIT
trap 'say "Interrupted. Run make demo again to go on from the last epoch."; exit 130' INT TERM

say "1. Images"
"$bin/rrm" data fetch fashion-mnist

say "2. Daemon and worker on this machine"
rm -f "$run/state/address"
"$bin/rrmd" serve --state-dir "$run/state" --listen 127.0.0.1:0 2>>"$run/rrmd.log" &
daemon=$!
until [ -s "$run/state/address" ]; do
    kill -0 "$daemon" 2>/dev/null || { tail -5 "$run/rrmd.log" >&2; exit 1; }
    sleep 0.1
done
export RRM_SERVER=http://$(cat "$run/state/address")
"$bin/rrm-worker" serve --server "$RRM_SERVER" --token-file "$run/state/token-worker" --device cpu \
    --work-dir "$run/worker" 2>>"$run/worker.log" &
worker=$!
echo "rrmd listens on $RRM_SERVER; logs in $run"

say "3. The plan"
# The request id is kept, so that a second run finds the first one's jobs instead of submitting them again.
[ -s "$run/request-id" ] || echo "demo-$(date +%s)-$$" >"$run/request-id"
"$bin/rrm" submit deploy/demo/plan.toml --request-id "$(cat "$run/request-id")"

say "4. Training and attacking"
"$bin/rrm" watch --plan last

say "5. What it gave"
"$bin/rrm" report last --figure "$run/report.svg"
echo
echo "Figure:    $run/report.svg"
echo "Database:  $run/state/rrm.db (views: docs/database.md), for example"
echo "           sqlite3 -readonly $run/state/rrm.db 'select * from runs'"
