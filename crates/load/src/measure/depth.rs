//! A long queue.

use std::time::Instant;

use rrm_api::{Client, JobFilter};
use rrm_spec::{JobId, JobState};

use super::{heartbeats, plan};
use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    empty_job,
    latencies::Latencies,
    row::{Number, Row},
};

/// Jobs of a page, as `rrm list` asks for.
const PAGE: u32 = 50;

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let mut daemon = Daemon::start(disk).await?;
    let plans = arguments.count(100);
    let queued = plans * plan::JOBS;
    let begun = Instant::now();
    for _ in 0..plans {
        empty_job::submit(&daemon.user()?, plan::JOBS).await?;
    }
    let filled = begun.elapsed();
    let claims = claim(&daemon).await?;
    let pages = pages(&daemon.user()?, arguments.count(500), queued).await?;
    let resident = daemon.resident_mib()?;
    let restarted = daemon.restart().await?;
    Ok(vec![
        Row::ours(
            format!("{queued} jobs queued, in plans of {}", plan::JOBS),
            vec![
                Number::new("rate", queued as f64 / filled.as_secs_f64(), "jobs/s"),
                Number::new("memory", resident, "MiB").at_most(300.0),
            ],
        ),
        Row::ours(
            format!("lease with {queued} queued, one worker after the other"),
            vec![
                Number::new("p50", claims.quantile(0.5), "ms"),
                Number::new("p99", claims.quantile(0.99), "ms").at_most(15.0),
            ],
        ),
        Row::ours(
            format!("list a page of {PAGE} with {queued} queued, anywhere, all and by state"),
            vec![
                Number::new("p50", pages.quantile(0.5), "ms"),
                Number::new("p99", pages.quantile(0.99), "ms").at_most(20.0),
            ],
        ),
        Row::ours(
            format!("kill -9 and restart with {queued} queued and {} running", claims.count()),
            vec![Number::new("first answer after", restarted.as_secs_f64(), "s").at_most(1.0)],
        ),
    ])
}

/// Every worker gets a job, and keeps it.
async fn claim(daemon: &Daemon) -> anyhow::Result<Latencies> {
    let mut taken = Vec::new();
    for worker in heartbeats::register_all(daemon).await? {
        let begun = Instant::now();
        let leased = worker.lease().await?;
        taken.push(begun.elapsed());
        anyhow::ensure!(leased.is_some(), "a queue with jobs gave none");
    }
    Ok(Latencies::new(taken))
}

async fn pages(client: &Client, count: usize, queued: usize) -> anyhow::Result<Latencies> {
    let mut taken = Vec::new();
    for number in 0..count {
        // Spread over the whole queue.
        let before = Some(JobId((1 + number * queued / count) as i64 + i64::from(PAGE)));
        let states = if number % 2 == 0 { Vec::new() } else { vec![JobState::Queued] };
        let begun = Instant::now();
        let page = client.list(JobFilter { states, submission: None, needs: None, before, limit: PAGE }).await?;
        taken.push(begun.elapsed());
        anyhow::ensure!(!page.is_empty(), "a page before {before:?} is empty");
    }
    Ok(Latencies::new(taken))
}
