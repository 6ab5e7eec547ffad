//! The largest plan.

use std::time::{Duration, Instant};

use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    empty_job,
    latencies::Latencies,
    row::{Number, Row},
};

/// The most that a plan may have.
pub(super) const JOBS: usize = 10_000;

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let daemon = Daemon::start(disk).await?;
    let client = daemon.user()?;
    let (mut stored, mut cancelled) = (Vec::new(), Vec::new());
    for _ in 0..arguments.count(10).max(3) {
        let begun = Instant::now();
        let submitted = empty_job::submit(&client, JOBS).await?;
        stored.push(begun.elapsed());
        let begun = Instant::now();
        client.cancel(submitted.jobs.into_iter().map(|(id, _)| id).collect()).await?;
        cancelled.push(begun.elapsed());
    }
    Ok(vec![
        Row::ours(
            format!("a plan of {JOBS} jobs submitted, the plan's check and its transfer included"),
            numbers(stored),
        ),
        Row::ours(format!("{JOBS} queued jobs cancelled"), numbers(cancelled)),
    ])
}

fn numbers(taken: Vec<Duration>) -> Vec<Number> {
    let taken = Latencies::new(taken);
    vec![
        Number::new("p50", taken.quantile(0.5) / 1e3, "s").at_most(0.5),
        Number::new("max", taken.quantile(1.0) / 1e3, "s"),
    ]
}
