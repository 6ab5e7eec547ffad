"""HyperQueue's server and a worker with 64 slots on this machine, by its Python package, which keeps no journal.

Prints a JSON object per measurement, as peer.rs reads them.
"""

import importlib.metadata
import json
import os
import statistics
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

QUICK = bool(os.environ.get("RRM_QUICK"))
SYSTEM = f"HyperQueue {importlib.metadata.version('hyperqueue')}"
SLOTS = 64


def say(what, **numbers):
    told = [{"name": name.replace("_", " "), "value": value, "unit": unit} for name, (value, unit) in numbers.items()]
    print(json.dumps({"system": SYSTEM, "what": what, "durable": "nothing (its Python package keeps no journal)", "numbers": told}), flush=True)


def job_of(tasks):
    """A job whose tasks run `true` and keep no output."""
    job = Job()
    for _ in range(tasks):
        job.program(["true"], stdout=None, stderr=None)
    return job


def timed(action, times):
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        taken.append(1e3 * (time.perf_counter() - begun))
    return sorted(taken)


def quantile(taken, share):
    return taken[min(len(taken) - 1, int(share * len(taken)))]


def main():
    with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
        client = cluster.client()
        # No worker yet: what is submitted stays queued.
        submits = timed(lambda: client.submit(job_of(1)), 100 if QUICK else 1000)
        rate = 1e3 / statistics.mean(submits)
        say("submit a job of one task, one client", p50=(statistics.median(submits), "ms"),
            p99=(quantile(submits, 0.99), "ms"), rate=(rate, "jobs/s"))
        many = job_of(10_000)
        begun = time.perf_counter()
        client.submit(many)
        say("a job of 10000 tasks submitted", once=(time.perf_counter() - begun, "s"))
    with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
        client = cluster.client()
        cluster.start_worker(WorkerConfig(cores=SLOTS))
        client.wait_for_jobs([client.submit(job_of(1))])
        tasks = 200 if QUICK else 2000
        begun = time.perf_counter()
        client.wait_for_jobs([client.submit(job_of(tasks))])
        say(f"{tasks} tasks of `true` (a process each) through {SLOTS} slots", rate=(tasks / (time.perf_counter() - begun), "jobs/s"))


main()
