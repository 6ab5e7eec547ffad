use rrm_spec::{AttemptOutcome, Device, JobId, JobState, Stop};
use rrm_store::StoreError;

use crate::bench::{Bench, CHAIN, plan, single, whole_run};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn what_does_not_run_is_cancelled_at_once_and_its_dependants_skipped() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    assert_eq!(bench.cancel(&ids[..1]).await.unwrap(), []);
    assert_eq!(bench.state(ids[0]).await, JobState::Cancelled);
    assert_eq!([bench.state(ids[1]).await, bench.state(ids[2]).await], [JobState::Skipped; 2]);
}

#[tokio::test]
async fn jobs_that_are_cancelled_together_are_all_cancelled_and_not_skipped() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    for _ in 0..2 {
        bench.cancel(&ids).await.unwrap();
        for &id in &ids {
            assert_eq!(bench.state(id).await, JobState::Cancelled);
        }
    }
}

#[tokio::test]
async fn an_acknowledged_cancellation_means_no_later_success() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let lease = bench.start(worker).await;
    assert_eq!(bench.cancel(&ids[..1]).await.unwrap(), [ids[0]]);
    assert_eq!(bench.job(ids[0]).await.summary.stop, Some(Stop::Cancel));
    assert_eq!(bench.store.running().await.unwrap()[0].stop, Some(Stop::Cancel));
    // The trainer was done already and reports so.
    bench.report(lease.attempt, 1, &whole_run(&lease)).await.unwrap();
    assert_eq!(bench.settle(lease.attempt, 8, AttemptOutcome::Ok).await.unwrap(), JobState::Cancelled);
    assert_eq!(bench.state(ids[1]).await, JobState::Skipped);
}

#[tokio::test]
async fn a_cancelled_job_whose_worker_dies_is_cancelled() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    bench.cancel(&[job]).await.unwrap();
    bench.expire(attempt).await;
    assert_eq!(bench.state(job).await, JobState::Cancelled);
}

#[tokio::test]
async fn one_job_that_has_ended_keeps_the_others_from_being_cancelled() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let done = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let queued = bench.submitted(&single("b")).await[0];
    let refused = bench.cancel(&[queued, done]).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("succeeded")), "{refused:?}");
    assert_eq!(bench.state(queued).await, JobState::Queued);
    assert!(matches!(bench.cancel(&[JobId(99)]).await, Err(StoreError::NotFound { .. })));
}
