#!/usr/bin/env bash
# A Slurm on this machine, started by the script that RRM_SLURM names (start, env, stop). Prints a JSON object per measurement, as
# peer.rs reads them. Slurm acknowledges from memory: what it has told is lost where its controller is killed within its next write.
set -euo pipefail
unavailable() { echo "$1" >&2; exit 69; } # EX_UNAVAILABLE
[ -n "${RRM_SLURM:-}" ] || unavailable "RRM_SLURM names no script that starts a Slurm"
command -v slurmctld >/dev/null || unavailable "slurmctld is not installed"
cd /
SLURM_LB_DIR=$(mktemp -d)
# As many slots as there are in the other rows.
export SLURM_LB_DIR SLURM_LB_NODES=2 SLURM_LB_CPUS=32
trap '"$RRM_SLURM" stop >/dev/null 2>&1 || true; rm -rf "$SLURM_LB_DIR"' EXIT
"$RRM_SLURM" start >/dev/null 2>"$SLURM_LB_DIR/start.log" || unavailable "it does not start: $(tail -1 "$SLURM_LB_DIR/start.log")"
eval "$("$RRM_SLURM" env)"
python3 - "${RRM_QUICK:+quick}" <<'PYTHON'
import json, statistics, subprocess, sys, time

quick = "quick" in sys.argv
version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def say(what, **numbers):
    told = [{"name": name.replace("_", " "), "value": value, "unit": unit} for name, (value, unit) in numbers.items()]
    durable = "nothing (its state is written in the background)"
    print(json.dumps({"system": f"Slurm {version}", "what": what, "durable": durable, "numbers": told}), flush=True)


def timed(times, *command):
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        run(*command)
        taken.append(1e3 * (time.perf_counter() - begun))
    return sorted(taken)


def quantiles(taken):
    return {"p50": (statistics.median(taken), "ms"), "p99": (taken[int(0.99 * len(taken))], "ms")}


def wait_until_empty():
    while run("squeue", "-h").strip():
        time.sleep(0.05)


batch = ["sbatch", "--parsable", "--output=/dev/null", "--wrap=true"]
submits = timed(20 if quick else 200, *batch, "--hold")
say("submit, one client (a process of sbatch each)", **quantiles(submits), rate=(1e3 / statistics.mean(submits), "jobs/s"))
run("scancel", "--state=PENDING")
wait_until_empty()
begun = time.perf_counter()
run(*batch, "--hold", "--array=0-999")
say("an array of 1000 submitted", once=(time.perf_counter() - begun, "s"))
run("scancel", "--state=PENDING")
wait_until_empty()
say("srun true on an idle node, from its start to its end", **quantiles(timed(10 if quick else 50, "srun", "true")))
tasks = 50 if quick else 500
begun = time.perf_counter()
run(*batch, f"--array=0-{tasks - 1}")
wait_until_empty()
say(f"an array of {tasks} × `true` through 64 slots", rate=(tasks / (time.perf_counter() - begun), "jobs/s"))
PYTHON
