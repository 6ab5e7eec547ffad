//! How many jobs go through.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;

use super::plan;
use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    empty_job,
    row::{Number, Row},
    worker::Worker,
};

const SLOTS: usize = 64;

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let daemon = Daemon::start(disk).await?;
    let jobs = arguments.count(2 * plan::JOBS);
    // The long poll of a worker that finds nothing left would last half a minute: there is always a job.
    for _ in 0..(jobs + SLOTS).div_ceil(plan::JOBS) {
        empty_job::submit(&daemon.user()?, plan::JOBS).await?;
    }
    let mut workers = Vec::new();
    for number in 0..SLOTS {
        workers.push(Worker::register(daemon.worker()?, number).await?);
    }
    let left = Arc::new(AtomicUsize::new(jobs));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(work(worker, left.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    Ok(vec![Row::ours(
        format!("{jobs} empty jobs through {SLOTS} slots: leased, reported, settled"),
        vec![Number::new("rate", rate, "jobs/s").at_least(2000.0)],
    )])
}

async fn work(worker: Worker, left: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    while take().is_ok() {
        worker.work().await?;
    }
    Ok(())
}
