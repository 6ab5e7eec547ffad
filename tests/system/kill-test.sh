#!/usr/bin/env bash
# Runs the kill test N times in a row with seeds of its own choice; stops at the first failure and says its seed.
# Usage: deploy/build/kill-test.sh N
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=$1
first=${RRM_FAULT_SEED:-$(date +%s)}

for ((run = 1; run <= runs; run++)); do
    seed=$((first + run - 1))
    printf '\n== run %d of %d: RRM_FAULT_SEED=%d\n' "$run" "$runs" "$seed"
    RRM_FAULT_SEED=$seed cargo test --locked --quiet -p rrm-cli --test system -- --exact --nocapture \
        kill::kill_nine_of_child_worker_and_daemon_ends_with_the_same_rows_and_weights || {
        echo "failed in run $run of $runs; the same moments again: RRM_FAULT_SEED=$seed make kill-test N=1" >&2
        exit 1
    }
done
printf '\n%d runs, seeds %d to %d: every one ended with the undisturbed rows and weights\n' "$runs" "$first" "$seed"
