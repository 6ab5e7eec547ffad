use rrm_spec::{AfterPreemption, AttemptOutcome, CheckpointRole, Device, JobChange, JobState, Stop, TimeLimit};
use rrm_store::StoreError;

use crate::bench::{Bench, CHAIN, checkpoint_record, epoch, plan, single, started, whole_run};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn a_preempted_job_keeps_its_place_its_checkpoint_and_its_tries() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let jobs = [bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]];
    let lease = bench.start(worker).await;
    let saved = checkpoint_record(lease.attempt, 1, CheckpointRole::Resume);
    bench.keep(&saved.sha256).await;
    let records = [started(1), epoch(1), rrm_spec::Record::Checkpoint(saved)];
    bench.report(lease.attempt, 1, &records).await.unwrap();
    assert_eq!(bench.preempt(&jobs[..1], AfterPreemption::Queue).await.unwrap(), jobs[..1]);
    assert_eq!(bench.job(jobs[0]).await.summary.stop, Some(Stop::Preempt));
    assert_eq!(bench.store.running().await.unwrap()[0].stop, Some(Stop::Preempt));
    // What it records until it stops counts.
    assert_eq!(bench.report(lease.attempt, 4, &[epoch(2)]).await.unwrap(), 4);
    assert_eq!(bench.settle(lease.attempt, 4, AttemptOutcome::Stopped).await.unwrap(), JobState::Queued);
    let job = bench.job(jobs[0]).await.summary;
    assert_eq!((job.stop, job.reason.as_deref()), (None, Some("preempted")));
    let again = bench.start(worker).await;
    assert_eq!((again.job, again.resume.unwrap().epoch), (jobs[0], 1), "before the other one, and from the checkpoint");
}

#[tokio::test]
async fn a_preempted_job_can_be_held_at_the_same_time() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.preempt(&[job], AfterPreemption::Hold).await.unwrap();
    bench.settle(lease.attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    let held = bench.job(job).await.summary;
    assert_eq!((held.state, held.held), (JobState::Queued, true));
    assert_eq!(bench.lease(worker, &[CPU]).await, []);
    bench.change(&[job], JobChange::Release).await.unwrap();
    assert_eq!(bench.start(worker).await.job, job);
}

#[tokio::test]
async fn a_job_that_is_done_before_it_hears_of_its_preemption_has_succeeded() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.preempt(&[job], AfterPreemption::Hold).await.unwrap();
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    let done = bench.job(job).await.summary;
    assert_eq!((done.stop, done.held), (None, false));
}

#[tokio::test]
async fn the_same_preemption_is_carried_out_once_even_if_the_job_runs_anew() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let first = bench.start(worker).await;
    let preempt = async || bench.preempt_as("preemption-1", &[job], AfterPreemption::Queue).await;
    let told = preempt().await.unwrap();
    assert_eq!((told[0].job, told[0].attempt), (job, first.attempt));
    bench.settle(first.attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    bench.start(worker).await;
    assert_eq!(preempt().await.unwrap(), told);
    assert_eq!(bench.job(job).await.summary.stop, None, "the new attempt goes on");
    assert_eq!(bench.count("job.stop").await, 1);
    let other = bench.preempt_as("preemption-1", &[job], AfterPreemption::Hold).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
}

#[tokio::test]
async fn a_cancellation_wins_over_a_preemption_whichever_comes_first() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.preempt(&[job], AfterPreemption::Queue).await.unwrap();
    bench.cancel(&[job]).await.unwrap();
    let refused = bench.preempt(&[job], AfterPreemption::Queue).await;
    assert!(
        matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("being cancelled")),
        "{refused:?}"
    );
    bench.report(lease.attempt, 1, &whole_run(&lease)).await.unwrap();
    assert_eq!(bench.settle(lease.attempt, 8, AttemptOutcome::Ok).await.unwrap(), JobState::Cancelled);
    assert_eq!(bench.job(job).await.summary.stop, Some(Stop::Cancel));
    let refused = bench.preempt(&[job], AfterPreemption::Queue).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("is cancelled")), "{refused:?}");
}

#[tokio::test]
async fn a_success_that_is_told_after_a_cancelled_attempts_end_is_refused() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    bench.cancel(&[job]).await.unwrap();
    bench.settle(lease.attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    let bench = bench.reopened().await;
    let late = bench.settle(lease.attempt, 0, AttemptOutcome::Ok).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    assert_eq!(bench.state(job).await, JobState::Cancelled);
}

#[tokio::test]
async fn a_job_that_ran_out_of_time_fails_at_once_and_keeps_its_checkpoint() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let mut plan = single("a");
    (plan.jobs[0].time_limit, plan.jobs[0].max_retries) = (Some("2h".parse().unwrap()), 9);
    let job = bench.submitted(&plan).await[0];
    let lease = bench.start(worker).await;
    assert_eq!(lease.time_limit.map(TimeLimit::seconds), Some(7_200));
    let saved = checkpoint_record(lease.attempt, 1, CheckpointRole::Resume);
    bench.keep(&saved.sha256).await;
    let records = [started(1), epoch(1), rrm_spec::Record::Checkpoint(saved.clone())];
    bench.report(lease.attempt, 1, &records).await.unwrap();
    assert_eq!(bench.settle(lease.attempt, 3, AttemptOutcome::Timeout).await.unwrap(), JobState::Failed);
    let ended = bench.job(job).await;
    assert_eq!((ended.summary.stop, ended.attempts[0].outcome), (Some(Stop::Timeout), Some(AttemptOutcome::Timeout)));
    assert!(ended.summary.reason.unwrap().starts_with("timeout"));
    assert_eq!(ended.checkpoints, [saved]);
}

#[tokio::test]
async fn jobs_that_do_not_run_cannot_give_way_but_can_be_held() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let running = bench.submitted(&single("a")).await[0];
    bench.start(worker).await;
    let idle = bench.submitted(&plan(CHAIN)).await;
    for job in &idle[..2] {
        let refused = bench.preempt(&[running, *job], AfterPreemption::Queue).await;
        let Err(StoreError::Precondition { what }) = refused else { panic!("{refused:?}") };
        let state = bench.state(*job).await;
        assert!(what.starts_with(&format!("job {job} `")) && what.contains(&format!("is {state}:")), "{what}");
    }
    assert_eq!(bench.count("job.stop").await, 0, "the one that runs goes on");
    assert_eq!(bench.preempt(&[running, idle[0]], AfterPreemption::Hold).await.unwrap(), [running]);
    assert!(bench.job(idle[0]).await.summary.held);
}
