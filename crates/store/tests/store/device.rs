//! Devices in and out of service.

use rrm_spec::{AttemptOutcome, Device, JobId, WorkerId};
use rrm_store::{RestoreDevice, StoreError};

use crate::bench::{Bench, single};

const CPU: Device = Device::Cpu;
const GPU: Device = Device::Cuda(0);

async fn restore(bench: &Bench, node: &str, device: Device) -> Result<bool, StoreError> {
    bench.write(RestoreDevice { node: node.into(), device }).await
}

/// Submits a job and has it end so on the device after so many seconds; `None` where it was not handed out there.
async fn end(bench: &Bench, worker: WorkerId, device: Device, outcome: AttemptOutcome, seconds: i64) -> Option<JobId> {
    let mut plan = single("plan");
    // A second try would come before the next job.
    plan.jobs[0].max_retries = 0;
    bench.submit(&plan).await.unwrap();
    let lease = bench.lease(worker, &[device]).await.pop()?;
    bench.skip_time(seconds * 1_000_000);
    if outcome == AttemptOutcome::Ok {
        bench.finish(&lease).await;
    } else {
        bench.settle(lease.attempt, 0, outcome).await.unwrap();
    }
    Some(lease.job)
}

async fn reason(bench: &Bench) -> Option<String> {
    let view = bench.store.workers().await.unwrap().remove(0);
    view.devices.into_iter().next_back().unwrap().out_of_service.map(|out| out.reason)
}

const FAILED: AttemptOutcome = AttemptOutcome::WorkerError;

#[tokio::test]
async fn three_jobs_that_fail_at_once_take_their_device_out_of_service_and_no_other() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU, GPU]).await;
    for outcome in [FAILED, AttemptOutcome::Oom, FAILED] {
        assert!(end(&bench, worker, GPU, outcome, 1).await.is_some());
    }
    let reason = reason(&bench).await.unwrap();
    assert!(reason.starts_with("jobs 1, 2, 3 failed one after the other"), "{reason}");
    assert_eq!(end(&bench, worker, GPU, FAILED, 1).await, None);
    assert_eq!(end(&bench, worker, CPU, AttemptOutcome::Ok, 1).await, Some(JobId(4)));
    assert!(bench.event_kinds().await.contains(&"device.out-of-service".to_owned()));
    let view = bench.store.workers().await.unwrap().remove(0);
    assert_eq!(view.devices[0].out_of_service, None);
}

#[tokio::test]
async fn another_worker_of_the_machine_is_given_nothing_for_a_sick_device_either() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[GPU]).await;
    for _ in 0..3 {
        end(&bench, worker, GPU, FAILED, 1).await.unwrap();
    }
    let next = bench.booted("node", "next", &[GPU]).await;
    assert_eq!(end(&bench, next, GPU, FAILED, 1).await, None);
    let elsewhere = bench.worker("other", &[GPU]).await;
    assert!(end(&bench, elsewhere, GPU, AttemptOutcome::Ok, 1).await.is_some());
}

#[tokio::test]
async fn a_restored_device_is_given_jobs_and_begins_with_a_clean_record() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[GPU]).await;
    for _ in 0..3 {
        end(&bench, worker, GPU, FAILED, 1).await.unwrap();
    }
    assert!(restore(&bench, "node", GPU).await.unwrap());
    assert!(!restore(&bench, "node", GPU).await.unwrap(), "again changes nothing");
    let restored = bench.event_kinds().await.into_iter().filter(|kind| kind == "device.restored").count();
    assert_eq!((reason(&bench).await, restored), (None, 1));
    for _ in 0..2 {
        end(&bench, worker, GPU, FAILED, 1).await.unwrap();
        assert_eq!(reason(&bench).await, None);
    }
    end(&bench, worker, GPU, FAILED, 1).await.unwrap();
    assert!(reason(&bench).await.is_some());
}

#[tokio::test]
async fn who_waits_for_work_is_woken_by_a_restored_device() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[GPU]).await;
    for _ in 0..3 {
        end(&bench, worker, GPU, FAILED, 1).await.unwrap();
    }
    let mut queue = bench.store.watch_queue();
    queue.mark_unchanged();
    restore(&bench, "node", GPU).await.unwrap();
    assert!(queue.has_changed().unwrap());
}

#[tokio::test]
async fn a_device_that_nobody_has_registered_cannot_be_restored() {
    let bench = Bench::new().await;
    bench.worker("node", &[GPU]).await;
    for (node, device) in [("node", CPU), ("other", GPU)] {
        let refused = restore(&bench, node, device).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_success_or_a_failure_after_long_work_in_between_clears_a_device() {
    for (outcome, seconds) in [(AttemptOutcome::Ok, 1), (FAILED, 60)] {
        let bench = Bench::new().await;
        let worker = bench.worker("node", &[GPU]).await;
        for (outcome, seconds) in [(FAILED, 1), (FAILED, 1), (outcome, seconds), (FAILED, 1), (FAILED, 1)] {
            assert!(end(&bench, worker, GPU, outcome, seconds).await.is_some());
        }
        assert_eq!(reason(&bench).await, None);
    }
}

#[tokio::test]
async fn faults_of_jobs_and_wishes_of_users_are_no_sign() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[GPU]).await;
    for _ in 0..4 {
        end(&bench, worker, GPU, AttemptOutcome::UserError, 1).await.unwrap();
    }
    assert_eq!(reason(&bench).await, None);
}

#[tokio::test]
async fn one_job_that_fails_again_and_again_is_no_sign() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[GPU]).await;
    let mut plan = single("plan");
    plan.jobs[0].max_retries = 5;
    bench.submit(&plan).await.unwrap();
    for _ in 0..4 {
        bench.skip_time(600_000_000);
        let lease = bench.lease(worker, &[GPU]).await.pop().unwrap();
        bench.settle(lease.attempt, 0, FAILED).await.unwrap();
    }
    assert_eq!(reason(&bench).await, None);
}

#[tokio::test]
async fn a_job_that_has_failed_elsewhere_too_is_to_blame_itself() {
    let bench = Bench::new().await;
    let first = bench.worker("first", &[GPU]).await;
    let second = bench.worker("second", &[GPU]).await;
    // Three jobs fail on the first machine, with successes of others in between, and then on the second one.
    for _ in 0..3 {
        let mut plan = single("plan");
        plan.jobs[0].max_retries = 1;
        bench.submit(&plan).await.unwrap();
        let lease = bench.lease(first, &[GPU]).await.pop().unwrap();
        bench.settle(lease.attempt, 0, FAILED).await.unwrap();
        end(&bench, first, GPU, AttemptOutcome::Ok, 1).await.unwrap();
        bench.skip_time(600_000_000);
        let lease = bench.lease(second, &[GPU]).await.pop().unwrap();
        bench.settle(lease.attempt, 0, FAILED).await.unwrap();
    }
    let views = bench.store.workers().await.unwrap();
    assert!(views.iter().all(|view| view.devices[0].out_of_service.is_none()), "{views:?}");
}
