use std::time::{Duration, Instant};

use rrm_spec::{
    AttemptOutcome, CheckpointRole, Dependents, Device, JobId, JobState, MAX_JOBS_PER_PLAN, PlannedJob, Record,
    Retried, RetryBegin, RetryWish,
};
use rrm_store::{CollectArtifacts, StoreError};

use crate::bench::{Bench, CHAIN, checkpoint_record, epoch, epoch_record, plan, single, started};

const CPU: Device = Device::Cpu;

pub(crate) const PLAIN: RetryWish =
    RetryWish { begin: RetryBegin::Checkpoint, dependents: Dependents::Leave, time_limit: None };
const WITH_DEPENDENTS: RetryWish = RetryWish { dependents: Dependents::Retry, ..PLAIN };

fn ids(retried: &[Retried]) -> Vec<[i64; 2]> {
    retried.iter().map(|it| [it.retry_of.0, it.job.0]).collect()
}

/// The chain's teacher trained an epoch and failed.
async fn failed_chain() -> Bench {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submitted(&plan(CHAIN)).await;
    let lease = bench.start(worker).await;
    let saved = checkpoint_record(lease.attempt, 1, CheckpointRole::Resume);
    bench.keep(&saved.sha256).await;
    bench.report(lease.attempt, 1, &[started(1), epoch(1), Record::Checkpoint(saved), epoch(2)]).await.unwrap();
    bench.settle(lease.attempt, 4, AttemptOutcome::UserError).await.unwrap();
    bench
}

#[tokio::test]
async fn a_retry_is_a_new_job_of_the_same_name_and_the_old_one_stays_as_it_is() {
    let bench = failed_chain().await;
    let before = bench.job(JobId(1)).await;
    let retried = bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    assert_eq!(ids(&retried), [[1, 4]]);
    let after = bench.job(JobId(1)).await;
    assert_eq!(after.summary.retried_as, Some(JobId(4)));
    assert_eq!(
        (after.summary.state, &after.attempts, &after.epochs),
        (before.summary.state, &before.attempts, &before.epochs)
    );
    let new = bench.job(JobId(4)).await;
    assert_eq!((new.summary.state, new.summary.retry_of), (JobState::Queued, Some(JobId(1))));
    assert_eq!((&new.summary.name, new.summary.submission), (&before.summary.name, before.summary.submission));
    assert_eq!((&new.spec, &new.content_key), (&before.spec, &before.content_key));
    assert_eq!(bench.state(JobId(2)).await, JobState::Skipped, "nobody asked for it");
    let kinds: Vec<_> = bench.event_kinds().await.split_off(bench.event_kinds().await.len() - 3);
    assert_eq!(kinds, ["job.state", "job.retry", "job.retry"]);
}

#[tokio::test]
async fn dependants_are_done_again_on_the_new_job_and_lead_to_the_end() {
    let bench = failed_chain().await;
    let retried = bench.retry(&[JobId(1)], WITH_DEPENDENTS).await.unwrap();
    assert_eq!(ids(&retried), [[1, 4], [2, 5], [3, 6]]);
    let student = bench.job(JobId(5)).await;
    assert_eq!((student.parents.as_slice(), student.summary.state), (&[JobId(4)][..], JobState::Waiting));
    assert_eq!(student.spec.needs()[0].job.to_string(), "#4");
    assert_eq!(student.content_key, bench.job(JobId(2)).await.content_key);
    assert_eq!(bench.job(JobId(6)).await.parents, [JobId(5)]);
    let worker = bench.worker("node", &[CPU]).await;
    for id in 4..=6 {
        let lease = bench.start(worker).await;
        assert_eq!(lease.job, JobId(id));
        bench.finish(&lease).await;
        assert_eq!(bench.state(JobId(id)).await, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_retry_goes_on_from_the_last_checkpoint_and_has_every_epoch_once() {
    let bench = failed_chain().await;
    let retried = bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    assert_eq!(retried[0].resumes_after, 1);
    // The file is the new job's, too: it is kept although the old one's days are over.
    let now = bench.now();
    let which = CollectArtifacts { superseded_before: now, ended_before: now, unknown_before: now };
    assert_eq!(bench.write(which).await.unwrap(), []);
    let carried = bench.job(JobId(4)).await;
    assert_eq!(carried.epochs, [epoch_record(1)]);
    assert_eq!((carried.attempts.len(), carried.attempts[0].started_at), (1, carried.attempts[0].ended_at.unwrap()));
    let message = carried.attempts[0].message.clone().unwrap();
    assert_eq!(message, "carried over from attempt 1 of job 1");
    let lease = bench.start(bench.worker("node", &[CPU]).await).await;
    assert_eq!(lease.resume.as_ref().map(|resume| resume.epoch), Some(1));
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    let epochs: Vec<u32> = bench.job(JobId(4)).await.epochs.iter().map(|it| it.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
}

#[tokio::test]
async fn a_retry_from_scratch_and_one_whose_checkpoint_is_gone_begin_at_the_beginning() {
    let scratch = RetryWish { begin: RetryBegin::Scratch, ..PLAIN };
    let bench = failed_chain().await;
    assert_eq!(bench.retry(&[JobId(1)], scratch).await.unwrap()[0].resumes_after, 0);
    let bench = failed_chain().await;
    let now = bench.now();
    let which = CollectArtifacts { superseded_before: now, ended_before: now, unknown_before: now };
    assert_eq!(bench.write(which).await.unwrap().len(), 1);
    assert_eq!(bench.retry(&[JobId(1)], PLAIN).await.unwrap()[0].resumes_after, 0);
    let lease = bench.start(bench.worker("node", &[CPU]).await).await;
    assert_eq!((lease.job, lease.resume), (JobId(4), None));
}

#[tokio::test]
async fn the_same_retry_makes_jobs_once() {
    let bench = failed_chain().await;
    let first = bench.retry_as("retry-again", &[JobId(1)], WITH_DEPENDENTS).await.unwrap();
    assert_eq!(bench.retry_as("retry-again", &[JobId(1)], WITH_DEPENDENTS).await.unwrap(), first);
    let other = bench.retry_as("retry-again", &[JobId(1)], PLAIN).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    let twice = bench.retry(&[JobId(1)], PLAIN).await;
    assert!(matches!(&twice, Err(StoreError::Precondition { what }) if what.contains("as job 4")), "{twice:?}");
    assert!(bench.store.job(JobId(7)).await.is_err(), "nothing more was made");
}

#[tokio::test]
async fn a_chain_of_retries_leads_to_its_newest_job() {
    let bench = failed_chain().await;
    bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    bench.cancel(&[JobId(4)]).await.unwrap();
    // The student's teacher is the newest try, which was cancelled.
    let refused = bench.retry(&[JobId(2)], PLAIN).await;
    let Err(StoreError::Precondition { what }) = &refused else { panic!("{refused:?}") };
    assert!(what.contains("job 2 `student` needs job 4 `teacher`, which is cancelled"), "{what}");
    bench.retry(&[JobId(4)], PLAIN).await.unwrap();
    assert_eq!(ids(&bench.retry(&[JobId(2)], WITH_DEPENDENTS).await.unwrap()), [[2, 6], [3, 7]]);
    assert_eq!(bench.job(JobId(6)).await.parents, [JobId(5)]);
    assert_eq!(bench.job(JobId(5)).await.epochs, [epoch_record(1)], "over two retries");
}

#[tokio::test]
async fn what_was_skipped_because_of_an_earlier_try_follows_a_later_one() {
    let bench = failed_chain().await;
    bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    bench.cancel(&[JobId(4)]).await.unwrap();
    assert_eq!(ids(&bench.retry(&[JobId(4)], WITH_DEPENDENTS).await.unwrap()), [[4, 5], [2, 6], [3, 7]]);
    assert_eq!(bench.job(JobId(6)).await.parents, [JobId(5)]);
}

#[tokio::test]
async fn a_whole_plan_is_retried_whichever_of_its_jobs_are_younger() {
    let bench = failed_chain().await;
    bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    bench.cancel(&[JobId(4)]).await.unwrap();
    let retried = bench.retry(&[JobId(2), JobId(3), JobId(4)], PLAIN).await.unwrap();
    assert_eq!(ids(&retried), [[4, 5], [2, 6], [3, 7]]);
}

#[tokio::test]
async fn what_has_not_ended_or_has_succeeded_is_refused_by_its_state() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let (first, second) = (bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]);
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let refused = bench.retry(&[first, second], PLAIN).await;
    let Err(StoreError::Precondition { what }) = &refused else { panic!("{refused:?}") };
    assert!(what.contains("job 1 `teacher` is succeeded, job 2 `teacher` is queued"), "{what}");
    let missing = bench.retry(&[JobId(99)], PLAIN).await;
    assert!(matches!(&missing, Err(StoreError::NotFound { what }) if what == "job 99"), "{missing:?}");
}

#[tokio::test]
async fn a_dependant_that_lacks_something_else_stays_skipped() {
    let bench = Bench::new().await;
    let mut both = plan(CHAIN);
    // The student begins with another network, too.
    let other = PlannedJob { name: "other".into(), ..both.jobs[0].clone() };
    both.jobs.insert(1, other);
    let rrm_spec::JobSpec::Train(student) = &mut both.jobs[2].spec else { panic!("it trains") };
    student.initial = Some(rrm_spec::ModelSource::Job(rrm_spec::JobRef::Name("other".into())));
    bench.submitted(&both).await;
    bench.cancel(&[JobId(1), JobId(2)]).await.unwrap();
    assert_eq!(ids(&bench.retry(&[JobId(1)], WITH_DEPENDENTS).await.unwrap()), [[1, 5]]);
    assert_eq!(ids(&bench.retry(&[JobId(2)], WITH_DEPENDENTS).await.unwrap()), [[2, 6], [3, 7], [4, 8]]);
    assert_eq!(bench.job(JobId(7)).await.parents, [JobId(5), JobId(6)]);
}

#[tokio::test]
async fn a_retry_may_have_more_time() {
    let bench = failed_chain().await;
    let wish = RetryWish { time_limit: Some("4h".parse().unwrap()), ..PLAIN };
    bench.retry(&[JobId(1)], wish).await.unwrap();
    assert_eq!(bench.job(JobId(4)).await.summary.time_limit, wish.time_limit);
    assert_eq!(bench.job(JobId(1)).await.summary.time_limit, None);
}

#[tokio::test]
async fn a_repeated_submission_answers_with_the_jobs_that_it_made_and_not_with_their_retries() {
    let bench = Bench::new().await;
    bench.submit_as("the-request", &plan(CHAIN)).await.unwrap();
    bench.cancel(&[JobId(1)]).await.unwrap();
    bench.retry(&[JobId(1)], WITH_DEPENDENTS).await.unwrap();
    let again = bench.submit_as("the-request", &plan(CHAIN)).await.unwrap();
    let jobs: Vec<i64> = again.jobs.iter().map(|(id, _)| id.0).collect();
    assert_eq!((again.already, jobs), (true, vec![1, 2, 3]));
}

#[tokio::test]
async fn thousands_of_dependants_are_retried_in_one_go() {
    let bench = Bench::new().await;
    let mut crowd = plan(CHAIN);
    let student = crowd.jobs.remove(1);
    crowd.jobs.truncate(1);
    for number in 1..MAX_JOBS_PER_PLAN {
        crowd.jobs.push(PlannedJob { name: format!("student {number}"), ..student.clone() });
    }
    bench.submitted(&crowd).await;
    bench.cancel(&[JobId(1)]).await.unwrap();
    let begun = Instant::now();
    let retried = bench.retry(&[JobId(1)], WITH_DEPENDENTS).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(retried.len(), MAX_JOBS_PER_PLAN);
    // Generous: unoptimised and on a busy machine, like its neighbours in the tests of cancellation.
    assert!(took < Duration::from_secs(20), "took {took:?}");
}
