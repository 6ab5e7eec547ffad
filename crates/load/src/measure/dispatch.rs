//! How fast an idle worker gets a job.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    empty_job,
    latencies::Latencies,
    row::{Number, Row},
    worker::Worker,
};

/// Between two jobs: the worker waits again long before.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let daemon = Daemon::start(disk).await?;
    let client = daemon.user()?;
    let worker = Worker::register(daemon.worker()?, 0).await?;
    let mut taken = Vec::new();
    let mut due = Instant::now();
    for _ in 0..arguments.count(500) {
        let waiting = tokio::spawn({
            let worker = worker.clone();
            async move {
                let assignment = worker.lease().await?.context("no job came")?;
                anyhow::Ok((Instant::now(), assignment))
            }
        });
        due += PAUSE;
        tokio::time::sleep_until(due.into()).await;
        empty_job::submit(&client, 1).await?;
        let answered = Instant::now();
        let (got, assignment) = waiting.await??;
        // The worker may have it before the submitter has its answer.
        taken.push(got.saturating_duration_since(answered));
        worker.finish(&assignment).await?;
        due = due.max(Instant::now());
    }
    let taken = Latencies::new(taken);
    Ok(vec![Row::ours(
        "from a submission's answer to the job at an idle worker",
        vec![
            Number::new("p50", taken.quantile(0.5), "ms").at_most(10.0),
            Number::new("p99", taken.quantile(0.99), "ms").at_most(40.0),
            Number::new("max", taken.quantile(1.0), "ms"),
        ],
    )])
}
