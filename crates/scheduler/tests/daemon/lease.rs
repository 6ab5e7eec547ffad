use std::time::{Duration, Instant};

use rrm_api::{ApiError, Service};
use rrm_spec::{Device, JobState, Registration, WorkerId};
use tokio::time::timeout;

use crate::desk::{Desk, TTL, USER, WORKER, registration, single};

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_submission() {
    let desk = Desk::new().await;
    let worker = desk.worker("node").await;
    let daemon = desk.daemon.clone();
    let request = "lease-that-waits".parse().unwrap();
    let waiting = tokio::spawn(async move { daemon.lease(WORKER, worker, request, vec![Device::Cpu], vec![]).await });
    let job = desk.submitted(&single()).await[0];
    // Less than the time after which a waiting worker is looked at anyway.
    let leases = timeout(Duration::from_secs(4), waiting).await.expect("it is woken").unwrap().unwrap();
    assert_eq!(leases[0].job, job);
}

#[tokio::test]
async fn a_waiting_worker_is_let_go_when_the_daemon_stops() {
    let desk = Desk::new().await;
    let worker = desk.worker("node").await;
    let waiting = desk.lease_as(worker, "lease-that-waits");
    let (leases, ()) = tokio::join!(waiting, async { desk.daemon.stop() });
    assert_eq!(leases, []);
}

#[tokio::test]
async fn a_worker_whose_reply_was_lost_gets_the_same_attempt_again() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let lost = desk.lease_as(worker, "lease-one").await;
    assert_eq!(desk.lease_as(worker, "lease-one").await, lost);
    assert_eq!(desk.lease_as(worker, "lease-two").await, lost, "it said that it holds nothing");
    let desk = desk.restarted().await;
    assert_eq!(desk.lease_as(worker, "lease-two").await, lost);
}

#[tokio::test]
async fn an_attempt_that_its_worker_never_names_is_given_up_though_the_worker_lives() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    desk.start(worker).await;
    assert_eq!(desk.beat(worker, &[]).await.known, Some(worker));
    // A term after the leasing has passed; what was last heard of the worker is a little younger.
    desk.daemon.expire(Instant::now() + TTL + TTL / 5).await.unwrap();
    assert_eq!(desk.state(job).await, JobState::Queued);
}

#[tokio::test]
async fn a_leaving_worker_is_shown_as_gone() {
    let desk = Desk::new().await;
    let worker = desk.worker("node").await;
    let seen = |desk: &Desk| {
        let daemon = desk.daemon.clone();
        async move { daemon.workers(USER).await.unwrap().remove(0) }
    };
    assert!(seen(&desk).await.online);
    desk.daemon.deregister(WORKER, worker).await.unwrap();
    desk.daemon.deregister(WORKER, worker).await.unwrap();
    assert!(!seen(&desk).await.online);
    let request = "lease-after-leaving".parse().unwrap();
    let refused = desk.daemon.lease(WORKER, worker, request, vec![Device::Cpu], vec![]).await;
    assert!(matches!(refused, Err(ApiError::NotFound { .. })), "{refused:?}");
    assert_eq!(desk.beat(WorkerId(99), &[]).await.known, None);
}

#[tokio::test]
async fn an_unfit_registration_is_refused() {
    let desk = Desk::new().await;
    let other = Registration { version: "0.0.1".into(), ..registration("node") };
    let refused = desk.daemon.register(WORKER, other).await;
    assert!(matches!(&refused, Err(ApiError::Version { client, .. }) if client == "0.0.1"), "{refused:?}");
    for devices in [vec![], [registration("node").devices, registration("node").devices].concat()] {
        let unfit = Registration { devices, ..registration("node") };
        let refused = desk.daemon.register(WORKER, unfit).await;
        assert!(matches!(refused, Err(ApiError::Invalid(_))), "{refused:?}");
    }
}
