//! Workers that have nothing to do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    load,
    row::{Number, Row},
    worker::Worker,
};

const WORKERS: usize = 1000;

/// A third of the time after which a silent worker is taken for lost.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let daemon = Daemon::start(disk).await?;
    let begun = Instant::now();
    let workers = Arc::new(register_all(&daemon).await?);
    let registered = begun.elapsed();
    let rate = WORKERS as f64 / INTERVAL.as_secs_f64();
    let before = (daemon.processor_time()?, Instant::now());
    let taken = load::at_rate(rate, arguments.count(6 * WORKERS), |number| {
        let worker = workers[number % WORKERS].clone();
        async move { worker.beat().await }
    })
    .await?;
    let busy = (daemon.processor_time()? - before.0).as_secs_f64() / before.1.elapsed().as_secs_f64();
    Ok(vec![
        Row::ours(
            format!("{WORKERS} workers register at once"),
            vec![Number::new("all within", registered.as_secs_f64(), "s").at_most(5.0)],
        ),
        Row::ours(
            format!("heartbeats of {WORKERS} workers, each every {} s", INTERVAL.as_secs()),
            vec![
                Number::new("the daemon's share of one core", 100.0 * busy, "%").at_most(5.0),
                Number::new("p50", taken.quantile(0.5), "ms"),
                Number::new("p99", taken.quantile(0.99), "ms").at_most(20.0),
            ],
        ),
    ])
}

/// Each with a connection of its own.
pub(super) async fn register_all(daemon: &Daemon) -> anyhow::Result<Vec<Worker>> {
    let mut tasks = JoinSet::new();
    for number in 0..WORKERS {
        tasks.spawn(Worker::register(daemon.worker()?, number));
    }
    tasks.join_all().await.into_iter().collect()
}
