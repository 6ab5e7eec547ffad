//! How long the store takes with much in it. Ignored by default, since other work on the machine would make them fail:
//! `cargo test --workspace --test store -- --ignored --nocapture scale`.
#![expect(clippy::print_stderr, reason = "a measurement is for the terminal")]

use std::time::{Duration, Instant};

use rrm_spec::{Device, Plan, PlannedJob, ResourceRequest};
use rrm_store::{Reuse, Strict};

use crate::bench::{Bench, single};

const CPU: Device = Device::Cpu;

/// Shown with `--nocapture`.
fn tell(what: std::fmt::Arguments<'_>) {
    eprintln!("{what}");
}

/// A plan of so many jobs that ask for four different things in turn.
fn large(name: &str, jobs: usize) -> Plan {
    let one = single(name).jobs.remove(0);
    let job = |i: usize| {
        let memory_gib = [None, Some(1), Some(2), Some(4)][i % 4];
        let request = ResourceRequest { memory_gib, ..ResourceRequest::default() };
        PlannedJob { name: format!("job {i}"), request, priority: (i % 3) as i32, ..one.clone() }
    };
    Plan { name: name.to_owned(), jobs: (0..jobs).map(job).collect() }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_jobs_are_submitted_in_half_a_second() {
    let bench = Bench::new().await;
    let plan = large("large", 10_000);
    let begun = Instant::now();
    bench.submit_wishing("the-request", &plan, "ada", Reuse::No, Strict::No).await.unwrap();
    let took = begun.elapsed();
    tell(format_args!("10,000 jobs in one plan: {took:?}"));
    // Without optimisation most of it is the work of turning specs into JSON.
    let limit = if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(500) };
    assert!(took < limit, "{took:?}");
}

/// Repeats the first plan's jobs as 199 more plans of a hundred owners: submitted one by one they would take many minutes.
const COPIES: &str = "
    with recursive copy (i) as (select 1 union all select i + 1 from copy where i < 199)
    insert into submission (request_id, plan_sha256, name, client_version, host, created_at, owner)
    select 'copy-' || i, plan_sha256, name, client_version, host, created_at, 'owner-' || (i % 100)
    from copy cross join submission where submission_id = 1;
    insert into job (submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total, max_retries,
        crash_limit, state, created_at, queued_at, owner, demand_id)
    select s.submission_id, j.ordinal, j.name, j.kind, j.dataset, j.spec, j.device_request, j.priority, j.epochs_total,
        j.max_retries, j.crash_limit, j.state, j.created_at, j.queued_at, s.owner, j.demand_id
    from submission s cross join job j where s.submission_id > 1 and j.submission_id = 1;
";

fn copy(bench: &Bench) {
    let database = rusqlite::Connection::open(bench.folder.path().join("rrm.db")).unwrap();
    database.execute_batch(COPIES).unwrap();
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_claim_among_a_million_jobs_of_many_owners_takes_milliseconds() {
    let bench = Bench::new().await;
    bench.submitted_by("owner-0", &large("large", 5_000)).await;
    copy(&bench);
    let worker = bench.worker("node", &[CPU]).await;
    let mut took = Vec::new();
    for i in 0..300 {
        let begun = Instant::now();
        let lease = bench.lease_as(worker, &format!("lease-number-{i}"), &[CPU], &[]).await.unwrap().remove(0);
        took.push(begun.elapsed());
        bench.skip_time(1_000_000 * (i % 7));
        bench.settle(lease.attempt, 0, rrm_spec::AttemptOutcome::UserError).await.unwrap();
    }
    took.sort();
    let (median, p99) = (took[150], took[296]);
    tell(format_args!("claims among a million jobs of a hundred owners: median {median:?}, p99 {p99:?}"));
    let begun = Instant::now();
    bench.store.explain(rrm_spec::JobId(999_999), bench.now()).await.unwrap();
    tell(format_args!("an explanation: {:?}", begun.elapsed()));
    assert!(p99 < Duration::from_millis(15), "{p99:?}");
}
