use rrm_spec::{AttemptOutcome, Device, DeviceRequest, JobState, WorkerId};
use rrm_store::{Depart, Departure, StoreError};

use crate::bench::{Bench, CHAIN, plan, single, started};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn the_highest_priority_comes_first_and_then_the_oldest() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let mut order = Vec::new();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 5), ("d", -1)] {
        let mut plan = single(name);
        plan.jobs[0].priority = priority;
        bench.submit(&plan).await.unwrap();
    }
    for _ in 0..4 {
        let lease = bench.start(worker).await;
        order.push(bench.job(lease.job).await.summary.plan);
        bench.finish(&lease).await;
    }
    assert_eq!(order, ["b", "c", "a", "d"]);
}

#[tokio::test]
async fn a_job_goes_only_to_a_device_that_fits() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU, Device::Cuda(1)]).await;
    for request in [DeviceRequest::Cuda, DeviceRequest::Cpu] {
        let mut plan = single(&format!("{request:?}"));
        plan.jobs[0].device = request;
        bench.submit(&plan).await.unwrap();
    }
    let leases = bench.lease(worker, &[CPU, Device::Cuda(1)]).await;
    let got: Vec<_> = leases.iter().map(|lease| (lease.job.0, lease.device)).collect();
    assert_eq!(got, [(2, CPU), (1, Device::Cuda(1))]);
}

#[tokio::test]
async fn a_repeated_lease_gets_the_same_attempt() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    bench.submit(&single("b")).await.unwrap();
    let first = bench.lease_as(worker, "lease-one", &[CPU], &[]).await.unwrap();
    let again = bench.lease_as(worker, "lease-one", &[CPU], &[]).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.len(), 1);
}

#[tokio::test]
async fn a_late_repetition_of_an_old_lease_gets_nothing_new() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    bench.submit(&single("b")).await.unwrap();
    let first = bench.lease_as(worker, "lease-one", &[CPU], &[]).await.unwrap();
    bench.finish(&first[0]).await;
    assert_eq!(bench.lease_as(worker, "lease-one", &[CPU], &[]).await.unwrap(), []);
}

#[tokio::test]
async fn an_attempt_whose_handing_out_was_lost_is_handed_out_again() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    bench.submit(&single("b")).await.unwrap();
    let lost = bench.start(worker).await;
    let again = bench.lease_as(worker, "another-request", &[CPU], &[]).await.unwrap();
    assert_eq!(again, [lost]);
}

#[tokio::test]
async fn a_device_that_is_in_use_is_given_nothing() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    bench.submit(&single("b")).await.unwrap();
    let held = bench.start(worker).await.attempt;
    assert_eq!(bench.lease_as(worker, "another-request", &[CPU], &[held]).await.unwrap(), []);
}

#[tokio::test]
async fn unknown_workers_and_devices_are_refused() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let unknown = bench.lease_as(WorkerId(99), "a-request", &[CPU], &[]).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })), "{unknown:?}");
    let foreign = bench.lease_as(worker, "a-request", &[Device::Cuda(0)], &[]).await;
    assert!(matches!(foreign, Err(StoreError::Invalid(_))), "{foreign:?}");
    let twice = bench.lease_as(worker, "a-request", &[CPU, CPU], &[]).await;
    assert!(matches!(twice, Err(StoreError::Invalid(_))), "{twice:?}");
}

#[tokio::test]
async fn a_student_gets_its_teachers_final_weights() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let teacher = bench.start(worker).await;
    assert_eq!((teacher.job, teacher.inputs.len()), (ids[0], 0));
    bench.finish(&teacher).await;
    let student = bench.start(worker).await;
    let last = bench.job(ids[0]).await.checkpoints.into_iter().next_back().unwrap();
    assert_eq!(
        student.inputs.iter().map(|it| (it.job, &it.sha256)).collect::<Vec<_>>(),
        [(Some(ids[0]), &last.sha256)]
    );
}

#[tokio::test]
async fn the_same_process_keeps_its_id_and_another_gets_its_own() {
    let bench = Bench::new().await;
    let first = bench.worker("one", &[CPU]).await;
    assert_eq!(bench.worker("one", &[CPU, Device::Cuda(0)]).await, first);
    assert_ne!(bench.worker("two", &[CPU]).await, first);
    let views = bench.store.workers().await.unwrap();
    let one = views.iter().find(|view| view.id == first).unwrap();
    assert_eq!(one.devices.iter().map(|it| it.device.as_str()).collect::<Vec<_>>(), ["cpu", "cuda:0"]);
}

#[tokio::test]
async fn what_a_leaving_worker_left_open_is_queued_again() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let lease = bench.start(worker).await;
    let view = bench.store.workers().await.unwrap().remove(0);
    assert_eq!((view.online, view.devices[0].job), (true, Some(lease.job)));
    bench.write(Depart { workers: vec![worker], how: Departure::Silence }).await.unwrap();
    let detail = bench.job(lease.job).await;
    assert_eq!(detail.summary.state, JobState::Queued);
    assert_eq!(detail.attempts[0].outcome, Some(AttemptOutcome::Lost));
    let view = bench.store.workers().await.unwrap().remove(0);
    assert_eq!((view.online, view.devices[0].job), (false, None));
    assert!(bench.lease_as(worker, "a-request", &[CPU], &[]).await.is_err(), "it must register again");
}

#[tokio::test]
async fn workers_online_come_first_and_of_each_other_node_only_the_newest() {
    let bench = Bench::new().await;
    let leave = async |worker| bench.write(Depart { workers: vec![worker], how: Departure::GoodBye }).await.unwrap();
    let stays = bench.worker("stays", &[CPU, Device::Cuda(0)]).await;
    let mut newest = stays;
    for boot in 0..3 {
        newest = bench.booted("gone", &boot.to_string(), &[CPU, Device::Cuda(1)]).await;
        leave(newest).await;
    }
    leave(bench.booted("back", "one", &[CPU]).await).await;
    let back = bench.booted("back", "two", &[CPU]).await;
    let listed: Vec<_> = bench.store.workers().await.unwrap().iter().map(|it| (it.id, it.online)).collect();
    assert_eq!(listed, [(back, true), (stays, true), (newest, false)]);
    let online: Vec<_> = bench.store.workers_online().await.unwrap().iter().map(|(id, _)| *id).collect();
    assert_eq!(online, [stays, back]);
    assert_eq!(bench.store.devices_online().await.unwrap(), [CPU, Device::Cuda(0)]);
}

#[tokio::test]
async fn a_good_bye_blames_no_job_that_has_not_begun() {
    let bench = Bench::new().await;
    let job = bench.submitted(&single("a")).await[0];
    // More often than a job may be lost.
    for _ in 0..6 {
        let worker = bench.worker("node", &[CPU]).await;
        bench.start(worker).await;
        bench.write(Depart { workers: vec![worker], how: Departure::GoodBye }).await.unwrap();
        assert_eq!(bench.state(job).await, JobState::Queued);
    }
    let detail = bench.job(job).await;
    assert!(detail.attempts.iter().all(|it| it.outcome == Some(AttemptOutcome::Stopped)), "{:?}", detail.attempts);
}

#[tokio::test]
async fn a_good_bye_in_the_middle_of_an_attempt_is_a_loss() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let lease = bench.start(worker).await;
    bench.report(lease.attempt, 1, &[started(1)]).await.unwrap();
    bench.write(Depart { workers: vec![worker], how: Departure::GoodBye }).await.unwrap();
    assert_eq!(bench.job(lease.job).await.attempts[0].outcome, Some(AttemptOutcome::Lost));
}

#[tokio::test]
async fn an_attempt_that_has_records_is_not_handed_out_again() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    bench.report(attempt, 1, &[started(1)]).await.unwrap();
    assert_eq!(bench.lease_as(worker, "another-request", &[CPU], &[]).await.unwrap(), []);
}
