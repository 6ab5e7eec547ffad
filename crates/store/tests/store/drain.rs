use rrm_spec::{AttemptOutcome, Device, DrainHow, DrainTarget, JobState, Stop, WorkerId};
use rrm_store::{Depart, Departure, StoreError};

use crate::bench::{Bench, single};

const CPU: Device = Device::Cpu;

fn node(name: &str) -> DrainTarget {
    DrainTarget::Node(name.into())
}

#[tokio::test]
async fn a_drained_worker_finishes_what_it_has_and_gets_nothing_new() {
    let bench = Bench::new().await;
    let (one, two) = (bench.worker("one", &[CPU]).await, bench.worker("two", &[CPU]).await);
    let jobs = [bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]];
    let lease = bench.start(one).await;
    assert_eq!(bench.drain(DrainTarget::Worker(one), DrainHow::Finish).await.unwrap(), []);
    assert_eq!(bench.job(jobs[0]).await.summary.stop, None);
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    assert_eq!(bench.lease(one, &[CPU]).await, []);
    assert_eq!(bench.start(two).await.job, jobs[1]);
}

#[tokio::test]
async fn a_worker_that_is_drained_now_gives_its_jobs_to_others_without_blame() {
    let bench = Bench::new().await;
    let (one, two) = (bench.worker("one", &[CPU]).await, bench.worker("two", &[CPU]).await);
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(one).await;
    for _ in 0..2 {
        assert_eq!(bench.drain(node("one"), DrainHow::Now).await.unwrap(), [job]);
    }
    assert_eq!(bench.job(job).await.summary.stop, Some(Stop::Preempt));
    assert_eq!((bench.count("drain").await, bench.count("job.stop").await), (1, 1));
    bench.settle(lease.attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    assert_eq!(bench.lease(one, &[CPU]).await, []);
    assert_eq!(bench.start(two).await.job, job);
}

#[tokio::test]
async fn an_attempt_whose_worker_never_heard_of_it_is_handed_out_again_although_the_worker_is_drained() {
    let bench = Bench::new().await;
    let one = bench.worker("one", &[CPU]).await;
    bench.submitted(&single("a")).await;
    let lost = bench.start(one).await;
    bench.drain(node("one"), DrainHow::Finish).await.unwrap();
    assert_eq!(bench.lease(one, &[CPU]).await, [lost]);
}

#[tokio::test]
async fn a_drained_machine_stays_drained_when_its_worker_is_started_anew() {
    let bench = Bench::new().await;
    bench.worker("one", &[CPU]).await;
    bench.drain(node("one"), DrainHow::Finish).await.unwrap();
    let bench = bench.reopened().await;
    let again = bench.booted("one", "second", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    assert_eq!(bench.lease(again, &[CPU]).await, []);
    let mut queue = bench.store.watch_queue();
    queue.mark_unchanged();
    bench.undrain(node("one")).await.unwrap();
    assert!(queue.has_changed().unwrap(), "waiting workers are woken");
    assert_eq!(bench.start(again).await.job, job);
}

#[tokio::test]
async fn a_drained_daemon_hands_out_nothing_until_it_is_told_to() {
    let bench = Bench::new().await;
    let one = bench.worker("one", &[CPU]).await;
    bench.drain(DrainTarget::Daemon, DrainHow::Finish).await.unwrap();
    let bench = bench.reopened().await;
    let job = bench.submitted(&single("a")).await[0];
    assert_eq!(bench.lease(one, &[CPU]).await, []);
    let drains = bench.store.drains().await.unwrap();
    assert_eq!((drains.len(), &drains[0].target, drains[0].how), (1, &DrainTarget::Daemon, DrainHow::Finish));
    for _ in 0..2 {
        bench.undrain(DrainTarget::Daemon).await.unwrap();
    }
    assert_eq!(bench.count("undrain").await, 1);
    assert_eq!(bench.store.drains().await.unwrap(), []);
    assert_eq!(bench.start(one).await.job, job);
}

#[tokio::test]
async fn draining_the_daemon_now_makes_all_that_runs_give_way() {
    let bench = Bench::new().await;
    let (one, two) = (bench.worker("one", &[CPU]).await, bench.worker("two", &[CPU]).await);
    let jobs = [bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]];
    bench.start(one).await;
    bench.start(two).await;
    assert_eq!(bench.drain(DrainTarget::Daemon, DrainHow::Now).await.unwrap(), jobs);
}

#[tokio::test]
async fn a_machine_is_undrained_with_its_workers_and_a_worker_not_without_its_machine() {
    let bench = Bench::new().await;
    let one = bench.worker("one", &[CPU]).await;
    bench.drain(DrainTarget::Worker(one), DrainHow::Finish).await.unwrap();
    bench.drain(node("one"), DrainHow::Finish).await.unwrap();
    let refused = bench.undrain(DrainTarget::Worker(one)).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("undrain one")), "{refused:?}");
    bench.undrain(node("one")).await.unwrap();
    assert_eq!(bench.store.drains().await.unwrap(), []);
}

#[tokio::test]
async fn who_never_registered_cannot_be_drained() {
    let bench = Bench::new().await;
    for target in [node("nobody"), DrainTarget::Worker(WorkerId(9))] {
        let refused = bench.drain(target.clone(), DrainHow::Finish).await;
        assert!(matches!(&refused, Err(StoreError::NotFound { what }) if what.contains("worker list")), "{refused:?}");
        assert!(bench.undrain(target).await.is_err());
    }
}

#[tokio::test]
async fn a_worker_that_is_offline_cannot_be_drained_but_its_machine_can() {
    let bench = Bench::new().await;
    let one = bench.worker("one", &[CPU]).await;
    bench.drain(DrainTarget::Worker(one), DrainHow::Finish).await.unwrap();
    bench.write(Depart { workers: vec![one], how: Departure::Silence }).await.unwrap();
    let refused = bench.drain(DrainTarget::Worker(one), DrainHow::Now).await;
    let Err(StoreError::Precondition { what }) = refused else { panic!("{refused:?}") };
    assert!(what.starts_with("worker 1 is offline") && what.contains("rrm worker drain one"), "{what}");
    assert_eq!(bench.count("drain").await, 1);
    bench.undrain(DrainTarget::Worker(one)).await.unwrap();
    bench.drain(node("one"), DrainHow::Finish).await.unwrap();
    // The same process is heard again: it is online, and drained with its machine.
    assert_eq!(bench.worker("one", &[CPU]).await, one);
    bench.drain(DrainTarget::Worker(one), DrainHow::Finish).await.unwrap();
}
