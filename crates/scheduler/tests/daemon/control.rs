use std::time::Duration;

use rrm_api::Service;
use rrm_spec::{
    AfterPreemption, AttemptOutcome, Dependents, Device, DrainHow, DrainTarget, Instruction, JobChange, JobId,
    JobState, RetryBegin, RetryWish, Stop,
};
use tokio::{task::JoinHandle, time::timeout};

use crate::desk::{Desk, USER, WORKER, chain, single};

/// A worker that waits for work; what it gets.
fn waiting(desk: &Desk, worker: rrm_spec::WorkerId, request: &str) -> JoinHandle<Vec<JobId>> {
    let (daemon, request) = (desk.daemon.clone(), request.parse().unwrap());
    tokio::spawn(async move {
        let leases = daemon.lease(WORKER, worker, request, vec![Device::Cpu], vec![]).await.unwrap();
        leases.into_iter().map(|lease| lease.job).collect()
    })
}

/// Less than the time after which a waiting worker is looked at anyway.
async fn soon(waiting: JoinHandle<Vec<JobId>>) -> Vec<JobId> {
    timeout(Duration::from_secs(4), waiting).await.expect("it is woken").unwrap()
}

#[tokio::test]
async fn a_preemption_reaches_the_worker_by_heartbeat_and_the_next_attempt_goes_on() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let request = || "preemption-of-a-test".parse().unwrap();
    let preempted = desk.daemon.preempt(USER, request(), vec![job], AfterPreemption::Queue).await.unwrap();
    assert_eq!((preempted[0].state, preempted[0].stop), (JobState::Running, Some(Stop::Preempt)));
    assert_eq!(desk.beat(worker, &[attempt]).await.instructions, [(attempt, Instruction::Stop)]);
    desk.settle(attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    let next = desk.start(worker).await.attempt;
    // The answer to the first call was lost, and the client asks again.
    desk.daemon.preempt(USER, request(), vec![job], AfterPreemption::Queue).await.unwrap();
    assert_eq!(desk.beat(worker, &[next]).await.instructions, [(next, Instruction::Continue)]);
}

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_release_an_undrain_and_a_retry() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    desk.daemon.change(USER, vec![job], JobChange::Hold).await.unwrap();
    let first = waiting(&desk, worker, "lease-that-waits-1");
    desk.daemon.change(USER, vec![job], JobChange::Release).await.unwrap();
    assert_eq!(soon(first).await, [job]);

    let other = desk.worker("other").await;
    desk.daemon.drain(USER, DrainTarget::Daemon, DrainHow::Finish).await.unwrap();
    let next = desk.submitted(&single()).await[0];
    let second = waiting(&desk, other, "lease-that-waits-2");
    desk.daemon.undrain(USER, DrainTarget::Daemon).await.unwrap();
    assert_eq!(soon(second).await, [next]);

    let third = desk.worker("third").await;
    desk.daemon.drain(USER, DrainTarget::Node("third".into()), DrainHow::Finish).await.unwrap();
    let cancelled = desk.submitted(&single()).await[0];
    desk.daemon.cancel(USER, vec![cancelled]).await.unwrap();
    desk.daemon.undrain(USER, DrainTarget::Node("third".into())).await.unwrap();
    let waits = waiting(&desk, third, "lease-that-waits-3");
    let wish = RetryWish { begin: RetryBegin::Checkpoint, dependents: Dependents::Leave, time_limit: None };
    let retried = desk.daemon.retry(USER, "retry-of-a-test".parse().unwrap(), vec![cancelled], wish).await.unwrap();
    assert_eq!(soon(waits).await, [retried[0].job]);
}

#[tokio::test]
async fn draining_a_worker_now_stops_its_trainers_and_no_others() {
    let desk = Desk::new().await;
    let ids = [desk.submitted(&single()).await[0], desk.submitted(&chain()).await[0]];
    let (one, two) = (desk.worker("one").await, desk.worker("two").await);
    let (here, there) = (desk.start(one).await.attempt, desk.start(two).await.attempt);
    let told = desk.daemon.drain(USER, DrainTarget::Worker(one), DrainHow::Now).await.unwrap();
    assert_eq!(told, ids[..1]);
    assert_eq!(desk.beat(one, &[here]).await.instructions, [(here, Instruction::Stop)]);
    assert_eq!(desk.beat(two, &[there]).await.instructions, [(there, Instruction::Continue)]);
    let desk = desk.restarted().await;
    assert_eq!(desk.daemon.drains(USER).await.unwrap()[0].target, DrainTarget::Worker(one));
    assert_eq!(desk.beat(one, &[here]).await.instructions, [(here, Instruction::Stop)], "it is not forgotten");
}
