//! Why a job does not run.

use rrm_spec::{
    AheadReason, AttemptOutcome, Device, DeviceRequest, DrainHow, DrainTarget, Explanation, JobChange, JobId, JobState,
    PATIENCE_US, ResourceRequest, Standing,
};
use rrm_store::{Change, Drain, StoreError};

use crate::bench::{Bench, CHAIN, plan, single};

const CPU: Device = Device::Cpu;
const GPUS: [Device; 2] = [Device::Cuda(0), Device::Cuda(1)];

async fn explain(bench: &Bench, job: JobId) -> Explanation {
    bench.store.explain(job, bench.now()).await.unwrap()
}

/// What the first worker's devices are for the job.
fn standings(explanation: &Explanation) -> Vec<&Standing> {
    explanation.workers[0].devices.iter().map(|device| &device.standing).collect()
}

#[tokio::test]
async fn a_job_that_does_not_exist_is_not_found() {
    let bench = Bench::new().await;
    let missing = bench.store.explain(JobId(1), 0).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_waiting_job_names_the_parents_that_have_not_succeeded() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let jobs = bench.submitted(&plan(CHAIN)).await;
    let explanation = explain(&bench, jobs[1]).await;
    assert_eq!((explanation.state, explanation.ahead.as_ref()), (JobState::Waiting, None));
    let parents: Vec<_> = explanation.parents.iter().map(|it| (it.id, it.name.as_str(), it.state)).collect();
    assert_eq!(parents, [(jobs[0], "teacher", JobState::Queued)]);
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let explanation = explain(&bench, jobs[1]).await;
    assert_eq!((explanation.state, explanation.parents.len()), (JobState::Queued, 0));
    assert_eq!(standings(&explanation), [&Standing::Free]);
}

#[tokio::test]
async fn a_held_job_and_drained_workers_say_so() {
    let bench = Bench::new().await;
    bench.worker("node", &[CPU]).await;
    let held = bench.submitted(&single("held")).await[0];
    let told = |it: &Explanation| (it.held, it.drained, it.workers[0].drained);
    assert_eq!(told(&explain(&bench, held).await), (false, false, false));
    bench.write(Change { jobs: vec![held], change: JobChange::Hold }).await.unwrap();
    bench.write(Drain { target: DrainTarget::Node("node".into()), how: DrainHow::Finish }).await.unwrap();
    assert_eq!(told(&explain(&bench, held).await), (true, false, true));
    bench.write(Drain { target: DrainTarget::Daemon, how: DrainHow::Finish }).await.unwrap();
    assert_eq!(told(&explain(&bench, held).await), (true, true, true));
}

#[tokio::test]
async fn a_drained_daemon_is_not_told_of_its_workers() {
    let bench = Bench::new().await;
    bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    bench.write(Drain { target: DrainTarget::Daemon, how: DrainHow::Finish }).await.unwrap();
    let explanation = explain(&bench, job).await;
    assert_eq!((explanation.drained, explanation.workers[0].drained), (true, false));
}

#[tokio::test]
async fn what_comes_before_is_counted_by_owner_and_reason() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submitted_by("ada", &single("used")).await;
    let used = bench.start(worker).await;
    bench.skip_time(3_600_000_000);
    bench.finish(&used).await;
    let mut urgent = single("urgent");
    urgent.jobs[0].priority = 3;
    bench.submitted_by("bob", &urgent).await;
    bench.submitted_by("bob", &single("fresh")).await;
    bench.submitted_by("ada", &single("older")).await;
    let asked = bench.submitted_by("ada", &single("asked")).await[0];
    bench.submitted_by("ada", &single("younger")).await;
    let ahead = explain(&bench, asked).await.ahead.unwrap();
    let groups: Vec<_> = ahead.groups.iter().map(|it| (it.owner.as_str(), it.why, it.jobs)).collect();
    assert_eq!(
        groups,
        [("bob", AheadReason::Priority, 1), ("ada", AheadReason::Age, 1), ("bob", AheadReason::Usage, 1),]
    );
    assert_eq!((ahead.jobs, ahead.is_more), (3, false));
}

#[tokio::test]
async fn devices_say_why_they_are_not_for_the_job() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU, GPUS[0], GPUS[1]]).await;
    bench.submit(&single("running")).await.unwrap();
    let running = bench.lease(worker, &GPUS[..1]).await.remove(0);
    let mut asked = single("asked");
    asked.jobs[0].device = DeviceRequest::Cuda;
    let job = bench.submitted(&asked).await[0];
    let explanation = explain(&bench, job).await;
    let [cpu, busy, free] = standings(&explanation)[..] else { panic!("{explanation:?}") };
    assert_eq!((cpu, free), (&Standing::OtherKind, &Standing::Free));
    let Standing::Busy { job: other, name, expected_end: None, .. } = busy else { panic!("{busy:?}") };
    assert_eq!((*other, name.as_str()), (running.job, "teacher"));

    asked.jobs[0].request = ResourceRequest { memory_gib: Some(40), ..ResourceRequest::default() };
    let job = bench.submitted(&asked).await[0];
    let explanation = explain(&bench, job).await;
    let small = Standing::TooSmall { has_mib: Some(8192), needs_mib: 40 * 1024 };
    assert_eq!(standings(&explanation), [&Standing::OtherKind, &small, &small]);
    assert!(!explanation.workers[0].fits());

    asked.jobs[0].request = ResourceRequest { labels: vec!["a100".parse().unwrap()], ..ResourceRequest::default() };
    let job = bench.submitted(&asked).await[0];
    assert_eq!(explain(&bench, job).await.workers[0].lacks_labels[0].as_str(), "a100");
}

#[tokio::test]
async fn the_end_of_what_runs_is_expected_by_its_epochs() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("running")).await.unwrap();
    let running = bench.start(worker).await;
    let asked = bench.submitted(&single("asked")).await[0];
    bench.report(running.attempt, 1, &[crate::bench::started(1), crate::bench::epoch(1)]).await.unwrap();
    let now = bench.now();
    let explanation = bench.store.explain(asked, now).await.unwrap();
    let Standing::Busy { expected_end, .. } = standings(&explanation)[0] else { panic!("{explanation:?}") };
    // Two of three epochs are left, at two seconds and a half each.
    assert_eq!(*expected_end, Some(now + 5_000_000));
}

#[tokio::test]
async fn a_pause_after_an_error_is_told_as_long_as_it_lasts() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.settle(lease.attempt, 0, AttemptOutcome::WorkerError).await.unwrap();
    let explanation = explain(&bench, job).await;
    assert!(explanation.not_before.is_some() && explanation.reason.is_some(), "{explanation:?}");
    bench.skip_time(20_000_000);
    assert_eq!(explain(&bench, job).await.not_before, None);
}

#[tokio::test]
async fn a_device_that_goes_to_another_first_says_to_which() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    bench.submit(&single("running")).await.unwrap();
    bench.lease(worker, &GPUS[..1]).await;
    let mut big = single("big");
    big.jobs[0].request = ResourceRequest { devices: 2.0.try_into().unwrap(), ..ResourceRequest::default() };
    let big = bench.submitted(&big).await[0];
    let next = bench.submitted(&single("next")).await[0];
    let last = bench.submitted(&single("last")).await[0];
    let second = |explanation: &Explanation| explanation.workers[0].devices[1].standing.clone();
    assert_eq!(second(&explain(&bench, next).await), Standing::Free, "it passes the big one");
    assert_eq!(second(&explain(&bench, last).await), Standing::Reserved { job: next });
    bench.skip_time(PATIENCE_US);
    assert_eq!(second(&explain(&bench, next).await), Standing::Reserved { job: big });
    assert_eq!(second(&explain(&bench, big).await), Standing::Free);
}

#[tokio::test]
async fn a_sick_device_says_so() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    for name in ["a", "b", "c"] {
        let mut plan = single(name);
        plan.jobs[0].max_retries = 0;
        bench.submit(&plan).await.unwrap();
        let lease = bench.start(worker).await;
        bench.settle(lease.attempt, 0, AttemptOutcome::WorkerError).await.unwrap();
    }
    let job = bench.submitted(&single("d")).await[0];
    let explanation = explain(&bench, job).await;
    assert!(matches!(standings(&explanation)[0], Standing::OutOfService { reason, .. } if reason.contains("1, 2, 3")));
    assert!(explanation.workers[0].fits(), "it may come back");
}

#[tokio::test]
async fn a_running_or_ended_job_is_not_told_of_workers() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    let running = explain(&bench, job).await;
    assert_eq!((running.state, running.workers.len(), running.ahead), (JobState::Running, 0, None));
    bench.finish(&lease).await;
    assert_eq!(explain(&bench, job).await.state, JobState::Succeeded);
}
