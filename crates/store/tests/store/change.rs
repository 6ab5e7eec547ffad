use rrm_spec::{Device, JobChange, JobId, JobState};
use rrm_store::StoreError;

use crate::bench::{Bench, CHAIN, plan, single};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn a_held_job_is_not_handed_out_until_it_is_released() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let (first, second) = (bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]);
    bench.change(&[first], JobChange::Hold).await.unwrap();
    assert!(bench.job(first).await.summary.held);
    assert_eq!(bench.start(worker).await.job, second);
    let other = bench.worker("other", &[CPU]).await;
    assert_eq!(bench.lease(other, &[CPU]).await, []);
    let mut queue = bench.store.watch_queue();
    queue.mark_unchanged();
    bench.change(&[first], JobChange::Release).await.unwrap();
    assert!(queue.has_changed().unwrap(), "waiting workers are woken");
    assert_eq!(bench.start(other).await.job, first);
}

#[tokio::test]
async fn a_job_that_is_held_from_the_start_waits_for_its_parents_and_for_its_release() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let mut chain = plan(CHAIN);
    chain.jobs[1].hold = true;
    let ids = bench.submitted(&chain).await;
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let student = bench.job(ids[1]).await.summary;
    assert_eq!((student.state, student.held), (JobState::Queued, true));
    assert_eq!(bench.lease(worker, &[CPU]).await, []);
    bench.change(&ids[1..2], JobChange::Release).await.unwrap();
    assert_eq!(bench.start(worker).await.job, ids[1]);
}

#[tokio::test]
async fn holds_and_priorities_may_be_asked_for_twice_and_happen_once() {
    let bench = Bench::new().await;
    let job = bench.submitted(&single("a")).await[0];
    for change in [JobChange::Hold, JobChange::Priority(7), JobChange::Release] {
        for _ in 0..2 {
            bench.change(&[job, job], change).await.unwrap();
        }
    }
    for kind in ["job.hold", "job.priority", "job.release"] {
        assert_eq!(bench.count(kind).await, 1, "{kind}");
    }
    let told = bench.store.events(0, None, 100).await.unwrap();
    let priority = told.iter().find(|event| event.kind == "job.priority").unwrap();
    assert_eq!((priority.job, priority.data.as_str()), (Some(job), r#"{"from":0,"to":7}"#));
}

#[tokio::test]
async fn a_higher_priority_goes_first() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let jobs = [bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]];
    bench.change(&jobs[1..], JobChange::Priority(1)).await.unwrap();
    assert_eq!(bench.job(jobs[1]).await.summary.priority, 1);
    assert_eq!(bench.start(worker).await.job, jobs[1]);
}

#[tokio::test]
async fn what_runs_or_has_ended_is_refused_by_its_state_and_nothing_is_changed() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let (running, queued) = (bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]);
    let lease = bench.start(worker).await;
    for change in [JobChange::Hold, JobChange::Priority(3)] {
        let refused = bench.change(&[running, queued], change).await;
        let Err(StoreError::Precondition { what }) = refused else { panic!("{refused:?}") };
        assert!(what.contains("job 1 `teacher` is running") && what.contains("nothing was changed"), "{what}");
    }
    let untouched = bench.job(queued).await.summary;
    assert_eq!((untouched.held, untouched.priority), (false, 0));
    bench.finish(&lease).await;
    let refused = bench.change(&[running], JobChange::Release).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("succeeded")), "{refused:?}");
    let missing = bench.change(&[JobId(99)], JobChange::Hold).await;
    assert!(matches!(&missing, Err(StoreError::NotFound { what }) if what == "job 99"), "{missing:?}");
}

#[tokio::test]
async fn a_hold_ends_with_its_job() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    bench.change(&ids, JobChange::Hold).await.unwrap();
    bench.cancel(&ids[..1]).await.unwrap();
    for id in ids {
        let job = bench.job(id).await.summary;
        assert!(job.state.is_terminal() && !job.held, "{job:?}");
    }
}
