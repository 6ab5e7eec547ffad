//! How long the store takes with much in it. Ignored by default, since other work on the machine would make them fail:
//! `cargo test --workspace --test store -- --ignored --nocapture scale`.
#![expect(clippy::print_stderr, reason = "a measurement is for the terminal")]

use std::time::{Duration, Instant};

use rrm_spec::{Device, Plan, PlannedJob, ResourceRequest};
use rrm_store::{Reuse, Strict};

use crate::bench::{Bench, single};

const CPU: Device = Device::Cpu;

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
    eprintln!("10,000 jobs in one plan: {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_claim_among_a_million_jobs_of_many_owners_takes_milliseconds() {
    let bench = Bench::new().await;
    let (owners, plans) = (100, 200);
    for i in 0..plans {
        let owner = format!("owner-{}", i % owners);
        let request = format!("request-{i}");
        bench.submit_wishing(&request, &large(&request, 5_000), &owner, Reuse::No, Strict::No).await.unwrap();
    }
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
    eprintln!("claims among {} jobs of {owners} owners: median {median:?}, p99 {p99:?}", plans * 5_000);
    let begun = Instant::now();
    bench.store.explain(rrm_spec::JobId(999_999), bench.now()).await.unwrap();
    eprintln!("an explanation: {:?}", begun.elapsed());
    assert!(p99 < Duration::from_millis(15), "{p99:?}");
}
