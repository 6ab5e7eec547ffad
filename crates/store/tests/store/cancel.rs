use std::time::{Duration, Instant};

use rrm_spec::{AttemptOutcome, Device, JobId, JobState, MAX_JOBS_PER_PLAN, Plan, PlannedJob, Stop};
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
async fn jobs_that_have_ended_stay_as_they_are_and_the_others_are_cancelled() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let done = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let queued = bench.submitted(&single("b")).await[0];
    // The second time, as after a lost answer, nothing is left to cancel.
    for _ in 0..2 {
        assert_eq!(bench.cancel(&[queued, done]).await.unwrap(), []);
        assert_eq!([bench.state(done).await, bench.state(queued).await], [JobState::Succeeded, JobState::Cancelled]);
    }
    let refused = bench.cancel(&[done]).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("succeeded")), "{refused:?}");
}

#[tokio::test]
async fn jobs_that_do_not_exist_are_named_up_to_a_point_and_nothing_is_cancelled() {
    let bench = Bench::new().await;
    let queued = bench.submitted(&single("a")).await[0];
    let ids: Vec<JobId> = (1..=1000).map(JobId).collect();
    let Err(StoreError::NotFound { what }) = bench.cancel(&ids).await else { panic!("they do not exist") };
    assert!(what.starts_with("job 2, job 3,") && what.ends_with("and 989 more"), "{what}");
    assert_eq!(bench.state(queued).await, JobState::Queued);
}

/// A teacher with as many students as a plan can have, and an evaluation of the last one.
fn crowd() -> Plan {
    let mut plan = plan(CHAIN);
    let attack = plan.jobs.pop().unwrap();
    let student = plan.jobs.pop().unwrap();
    for number in 1..=MAX_JOBS_PER_PLAN - 2 {
        plan.jobs.push(PlannedJob { name: format!("student {number}"), ..student.clone() });
    }
    plan.jobs.last_mut().unwrap().name = "student".to_owned();
    plan.jobs.push(attack);
    plan
}

/// Changes of state after that many events, as job and `[from, to, reason]`.
async fn changes(bench: &Bench, after: i64) -> Vec<(i64, [String; 3])> {
    let events = bench.store.events(after, None, 100_000).await.unwrap();
    let word = |data: &serde_json::Value, name: &str| data[name].as_str().unwrap_or_default().to_owned();
    events
        .into_iter()
        .filter(|event| event.kind == "job.state")
        .map(|event| {
            let data = serde_json::from_str(&event.data).unwrap();
            (event.job.unwrap().0, ["from", "to", "reason"].map(|name| word(&data, name)))
        })
        .collect()
}

/// Generous: unoptimised and on a busy machine it takes some tenths of a second, and four statements a job took six.
const BOUND: Duration = Duration::from_secs(3);

#[tokio::test]
async fn ten_thousand_jobs_are_cancelled_in_one_go() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&crowd()).await;
    let before = *bench.store.watch_events().borrow();
    let begun = Instant::now();
    assert_eq!(bench.cancel(&ids).await.unwrap(), []);
    let took = begun.elapsed();
    assert!(took < BOUND, "took {took:?}");
    let changes = changes(&bench, before).await;
    assert_eq!(changes.iter().map(|(job, _)| JobId(*job)).collect::<Vec<_>>(), ids);
    assert_eq!(changes[0].1, ["queued", "cancelled", "cancelled by a user"]);
    assert!(changes[1..].iter().all(|(_, change)| *change == ["waiting", "cancelled", "cancelled by a user"]));
    let listed = bench.store.jobs_by_id(&ids).await.unwrap();
    assert!(listed.iter().all(|job| job.state == JobState::Cancelled && job.ended_at.is_some()));
}

#[tokio::test]
async fn ten_thousand_dependants_are_skipped_in_one_go() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&crowd()).await;
    let before = *bench.store.watch_events().borrow();
    let begun = Instant::now();
    bench.cancel(&ids[..1]).await.unwrap();
    let took = begun.elapsed();
    assert!(took < BOUND, "took {took:?}");
    let changes = changes(&bench, before).await;
    assert_eq!(changes.iter().map(|(job, _)| JobId(*job)).collect::<Vec<_>>(), ids);
    assert_eq!(changes[1].1, ["waiting", "skipped", "job 1 `teacher` is cancelled"]);
    assert_eq!(changes.last().unwrap().1, ["waiting", "skipped", "job 9999 `student` is skipped"]);
}

#[tokio::test]
async fn ten_thousand_dependants_are_released_in_one_go() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&crowd()).await;
    let lease = bench.start(worker).await;
    let mut queue = bench.store.watch_queue();
    queue.mark_unchanged();
    let begun = Instant::now();
    bench.finish(&lease).await;
    let took = begun.elapsed();
    assert!(took < BOUND, "took {took:?}");
    assert!(queue.has_changed().unwrap(), "waiting workers are woken");
    let listed = bench.store.jobs_by_id(&ids).await.unwrap();
    assert_eq!(listed.iter().filter(|job| job.state == JobState::Queued).count(), MAX_JOBS_PER_PLAN - 2);
    assert_eq!(listed.last().unwrap().state, JobState::Waiting, "its student has not succeeded yet");
}

#[tokio::test]
async fn a_running_job_is_asked_to_stop_once() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    bench.start(worker).await;
    for _ in 0..2 {
        assert_eq!(bench.cancel(&[job, job]).await.unwrap(), [job]);
    }
    assert_eq!(bench.event_kinds().await.iter().filter(|kind| *kind == "job.stop").count(), 1);
}
