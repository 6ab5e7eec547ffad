#!/usr/bin/env bash
# The main job from nothing to a table and a figure: daemon, worker, plan, report. Interrupted, it goes on where it was.
# Usage: deploy/demo/demo.sh FOLDER-OF-BINARIES
# RRM_DEMO_PLAN and RRM_DEMO_RUN choose another plan and another folder for the run, RRM_DATA_DIR that of the images.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(cd "$1" && pwd)
plan=${RRM_DEMO_PLAN:-deploy/demo/plan.toml}
mkdir -p "${RRM_DEMO_RUN:-demo-run}"
run=$(cd "${RRM_DEMO_RUN:-demo-run}" && pwd)

export RRM_TOKEN_FILE=$run/state/token-user

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# TERM lets the worker stop its trainer at the next step; what is finished stays in the database.
end() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || true
    while kill -0 "$1" 2>/dev/null; do wait "$1" 2>/dev/null || true; done
}

stop() {
    # Whoever interrupts once more does not want to wait for the next step: a second TERM ends worker and daemon at once.
    trap 'kill ${worker:-} ${daemon:-} 2>/dev/null || true' INT TERM
    end "${worker:-}"
    end "${daemon:-}"
}
trap stop EXIT
interrupted() {
    say "Interrupted. Run it again to go on from the last epoch."
    exit 130
}
trap interrupted INT TERM

say "1. Images"
# Folders of images are the user's own. What is there already is only verified.
for images in $(grep -oE '"(cifar10|fashion-mnist)"' "$plan" | sort -u | tr -d '"'); do
    "$bin/rrm" data fetch "$images"
done

say "2. Daemon and worker on this machine"
if [ -e "$run/state/rrmd.lock" ] && ! flock --nonblock "$run/state/rrmd.lock" true; then
    echo "The daemon of another run is at work on $run/state: wait for that run," >&2
    echo "or end what it left: kill $(cat "$run/pids" 2>/dev/null)" >&2
    exit 1
fi
rm -f "$run/state/address"
# In sessions of their own, out of reach of Ctrl-C: it would come before the TERM of stop(), which would then be the second
# signal and kill instead of letting trainers stop.
setsid "$bin/rrmd" serve --state-dir "$run/state" --listen 127.0.0.1:0 2>>"$run/rrmd.log" &
daemon=$!
echo "$daemon" >"$run/pids"
until [ -s "$run/state/address" ]; do
    kill -0 "$daemon" 2>/dev/null || { tail -5 "$run/rrmd.log" >&2; exit 1; }
    sleep 0.1
done
RRM_SERVER=$(cat "$run/state/address")
export RRM_SERVER
setsid "$bin/rrm-worker" serve --server "$RRM_SERVER" --token-file "$run/state/token-worker" --device cpu \
    --work-dir "$run/worker" 2>>"$run/worker.log" &
worker=$!
echo "$worker $daemon" >"$run/pids"
echo "rrmd listens on $RRM_SERVER; logs in $run"

say "3. The plan"
# The request id is kept, so that a second run finds the first one's jobs instead of submitting them again.
[ -s "$run/request-id" ] || echo "demo-$(date +%s)-$$" >"$run/request-id"
"$bin/rrm" submit "$plan" --request-id "$(cat "$run/request-id")" || {
    code=$?
    [ "$code" -ne 8 ] || echo "$plan is not what $run was begun with: make clean-demo forgets that run" >&2
    exit "$code"
}

say "4. Training and attacking"
# A job that fails takes nothing away from the others' results.
code=0
"$bin/rrm" watch --plan last || code=$?
# It has seen the signal, and now and then this shell has not: it goes by how its child ended.
[ "$code" -ne 130 ] || interrupted

say "5. What it gave"
"$bin/rrm" report last --figure "$run/report.svg"
echo
echo "Figure:    $run/report.svg"
echo "Database:  $run/state/rrm.db (views: docs/database.md), for example"
echo "           sqlite3 -readonly $run/state/rrm.db 'select * from runs'"
exit "$code"
