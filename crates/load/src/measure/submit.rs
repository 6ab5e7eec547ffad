//! Durable submissions.

use rrm_api::Client;

use crate::{
    arguments::Arguments,
    daemon::{Daemon, Disk},
    empty_job, load,
    row::{Number, Row},
};

const CLIENTS: usize = 64;

pub(super) async fn run(arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
    let daemon = Daemon::start(disk).await?;
    let clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.user()).collect::<Result<_, _>>()?;
    let submit = move |caller: usize| {
        let client = clients[caller % CLIENTS].clone();
        async move { empty_job::submit(&client, 1).await.map(drop) }
    };
    // Connections are made by the first calls, which do not count.
    load::closed(CLIENTS, 2, submit.clone()).await?;
    let sync = disk.sync_time(arguments.count(500))?;
    let (one, one_rate) = load::closed(1, arguments.count(1000), submit.clone()).await?;
    let (many, many_rate) = load::closed(CLIENTS, arguments.count(1000), submit.clone()).await?;
    let fixed = load::at_rate(1000.0, arguments.count(10_000), submit).await?;
    let synced = sync.quantile(0.5);
    Ok(vec![
        Row::ours(
            format!("submit, one client; the disk's own p50 is {synced:.2} ms"),
            vec![
                Number::new("p50", one.quantile(0.5), "ms").at_most(synced + 1.0),
                Number::new("p99", one.quantile(0.99), "ms"),
                Number::new("rate", one_rate, "jobs/s").at_least(120.0),
            ],
        ),
        Row::ours(
            format!("submit, {CLIENTS} clients at once"),
            vec![
                Number::new("rate", many_rate, "jobs/s").at_least(5000.0),
                Number::new("p50", many.quantile(0.5), "ms"),
                Number::new("p99", many.quantile(0.99), "ms").at_most(30.0),
            ],
        ),
        Row::ours(
            "submit, 1000 jobs/s whatever the daemon does",
            vec![
                Number::new("p50", fixed.quantile(0.5), "ms"),
                Number::new("p99", fixed.quantile(0.99), "ms"),
                Number::new("max", fixed.quantile(1.0), "ms"),
            ],
        ),
    ])
}
