use rrm_api::{ApiError, ImagesFrom, ImagesPage, JobFilter, Service};
use rrm_spec::{AttemptOutcome, Instruction, JobId, JobState, Record, Stop};
use tokio::io::AsyncReadExt;
use tokio_stream::StreamExt;

use crate::desk::{Desk, USER, WORKER, chain, checkpoint, epoch, single, started};

#[tokio::test]
async fn a_plan_goes_from_submission_to_results() {
    let desk = Desk::new().await;
    let submitted = desk.submit(&chain()).await;
    assert!(submitted.warnings[0].contains("no worker"), "{:?}", submitted.warnings);
    let ids: Vec<JobId> = submitted.jobs.iter().map(|(id, _)| *id).collect();
    let worker = desk.worker("node").await;
    for &id in &ids {
        let lease = desk.start(worker).await;
        assert_eq!(lease.job, id);
        desk.finish(&lease).await;
        assert_eq!(desk.state(id).await, JobState::Succeeded);
    }
    let student = desk.job(ids[1]).await;
    assert_eq!((student.epochs.len(), student.parents.as_slice()), (2, &ids[..1]));
    assert_eq!(desk.job(ids[2]).await.evaluations.len(), 1);
    let pages = desk.daemon.images(USER, ids[2], ImagesFrom::default()).await.unwrap();
    let pages: Vec<ImagesPage> = pages.map(|page| page.unwrap()).collect().await;
    assert_eq!((pages.len(), pages[0].images.len(), pages[0].evaluation), (1, 1, 0));
    let nothing = desk.daemon.images(USER, ids[1], ImagesFrom::default()).await;
    assert!(matches!(nothing, Err(ApiError::NotFound { .. })), "a training has no outcomes of images");
    let weights = student.checkpoints.iter().last().unwrap();
    let mut artifact = desk.daemon.download(USER, weights.sha256.clone()).await.unwrap();
    let mut content = String::new();
    artifact.content.read_to_string(&mut content).await.unwrap();
    assert_eq!((content.len() as u64, artifact.bytes), (weights.bytes, weights.bytes));
    assert!(content.starts_with("Final of epoch 2"), "{content}");
}

#[tokio::test]
async fn jobs_are_listed_in_pages_with_their_progress() {
    let desk = Desk::new().await;
    let ids = desk.submitted(&chain()).await;
    let worker = desk.worker("node").await;
    let lease = desk.start(worker).await;
    desk.beat(worker, &[lease.attempt]).await;
    let filter = JobFilter { states: vec![], submission: None, needs: None, before: None, limit: 0 };
    let all = desk.daemon.list(USER, filter.clone()).await.unwrap();
    assert_eq!(all.iter().map(|job| job.id).collect::<Vec<_>>(), ids.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(all[2].progress.as_ref().map(|it| it.done), Some(3));
    let page = desk.daemon.list(USER, JobFilter { before: Some(ids[2]), limit: 1, ..filter }).await.unwrap();
    assert_eq!(page.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1]]);
}

#[tokio::test]
async fn a_stale_attempt_cannot_report_upload_or_settle() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let zombie = desk.worker("zombie").await;
    let old = desk.start(zombie).await.attempt;
    desk.report(old, 1, &[started(1)]).await.unwrap();
    desk.let_terms_run_out().await;
    let other = desk.worker("other").await;
    let new = desk.start(other).await.attempt;
    assert_eq!(desk.report(old, 2, &[epoch(1)]).await, Err(ApiError::LeaseLost));
    assert_eq!(desk.upload(old, "weights").await, Err(ApiError::LeaseLost));
    assert_eq!(desk.settle(old, 1, AttemptOutcome::Ok).await, Err(ApiError::LeaseLost));
    assert_eq!(desk.beat(zombie, &[old]).await.known, None, "it was given up, and must register");
    assert_eq!(desk.worker("zombie").await, zombie);
    assert_eq!(desk.beat(zombie, &[old]).await.instructions, [(old, Instruction::Abandon)]);
    assert_eq!(desk.job(job).await.epochs, []);
    assert_eq!(desk.report(new, 1, &[started(1), epoch(1)]).await, Ok(2));
}

#[tokio::test]
async fn a_report_that_comes_twice_counts_once() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    for _ in 0..2 {
        assert_eq!(desk.report(attempt, 1, &[started(1), epoch(1)]).await, Ok(2));
    }
    assert_eq!(desk.job(job).await.epochs.len(), 1);
}

#[tokio::test]
async fn an_attempt_goes_on_over_a_restart_of_the_daemon() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.report(attempt, 1, &[started(1), epoch(1)]).await.unwrap();
    let desk = desk.restarted().await;
    desk.daemon.expire(std::time::Instant::now()).await.unwrap();
    assert_eq!(desk.state(job).await, JobState::Running);
    let reply = desk.beat(worker, &[attempt]).await;
    assert_eq!((reply.known, reply.instructions), (Some(worker), vec![(attempt, Instruction::Continue)]));
    assert_eq!(desk.report(attempt, 2, &[epoch(1), epoch(2)]).await, Ok(3));
}

#[tokio::test]
async fn a_worker_that_is_silent_after_a_restart_is_given_up() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    desk.start(worker).await;
    let desk = desk.restarted().await;
    desk.let_terms_run_out().await;
    assert_eq!(desk.state(job).await, JobState::Queued);
    assert!(desk.daemon.workers(USER).await.unwrap().iter().all(|worker| !worker.online));
}

#[tokio::test]
async fn a_lost_worker_costs_a_crash_and_the_job_is_tried_elsewhere() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    for number in 0..5 {
        assert_eq!(desk.state(job).await, JobState::Queued, "after {number} losses");
        let worker = desk.worker(&format!("node-{number}")).await;
        desk.start(worker).await;
        desk.let_terms_run_out().await;
    }
    let detail = desk.job(job).await;
    assert_eq!(detail.summary.state, JobState::Failed);
    assert!(detail.attempts.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::Lost)));
}

#[tokio::test]
async fn a_resumed_attempt_gets_the_newest_stored_checkpoint() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let saved = checkpoint(attempt, 1, rrm_spec::CheckpointRole::Resume);
    desk.upload(attempt, &crate::desk::content(attempt, 1, rrm_spec::CheckpointRole::Resume)).await.unwrap();
    desk.report(attempt, 1, &[started(1), epoch(1), saved.clone()]).await.unwrap();
    desk.settle(attempt, 3, AttemptOutcome::Stopped).await.unwrap();
    let again = desk.start(worker).await;
    let Record::Checkpoint(saved) = saved else { unreachable!() };
    assert_eq!(again.resume.as_ref().map(|it| (it.epoch, &it.sha256)), Some((1, &saved.sha256)));
    desk.finish(&again).await;
    assert_eq!(desk.state(again.job).await, JobState::Succeeded);
}

#[tokio::test]
async fn cancelling_a_running_job_reaches_its_worker_by_heartbeat() {
    let desk = Desk::new().await;
    let ids = desk.submitted(&chain()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let cancelled = desk.daemon.cancel(USER, vec![ids[0]]).await.unwrap();
    assert_eq!((cancelled[0].state, cancelled[0].stop), (JobState::Running, Some(Stop::Cancel)));
    assert_eq!(desk.beat(worker, &[attempt]).await.instructions, [(attempt, Instruction::Stop)]);
    desk.settle(attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    let states = [desk.state(ids[0]).await, desk.state(ids[1]).await, desk.state(ids[2]).await];
    assert_eq!(states, [JobState::Cancelled, JobState::Skipped, JobState::Skipped]);
}

#[tokio::test]
async fn a_wish_to_stop_survives_a_restart_of_the_daemon() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.daemon.cancel(USER, vec![job]).await.unwrap();
    let desk = desk.restarted().await;
    assert_eq!(desk.beat(worker, &[attempt]).await.instructions, [(attempt, Instruction::Stop)]);
}

#[tokio::test]
async fn cancelling_what_has_ended_names_its_state() {
    let desk = Desk::new().await;
    let ids = desk.submitted(&chain()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.settle(attempt, 0, AttemptOutcome::UserError).await.unwrap();
    assert_eq!(desk.state(ids[2]).await, JobState::Skipped);
    let refused = desk.daemon.cancel(USER, vec![ids[0]]).await;
    assert!(matches!(&refused, Err(ApiError::Precondition { what }) if what.contains("failed")), "{refused:?}");
    let unknown = desk.daemon.cancel(USER, vec![JobId(99)]).await;
    assert!(matches!(unknown, Err(ApiError::NotFound { .. })), "{unknown:?}");
}

#[tokio::test]
async fn heartbeats_go_on_when_the_database_does_not() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.daemon.close().await;
    assert_eq!(desk.beat(worker, &[attempt]).await.instructions, [(attempt, Instruction::Continue)]);
    let refused = desk.report(attempt, 1, &[started(1)]).await;
    assert!(matches!(refused, Err(ApiError::Unavailable { .. })), "{refused:?}");
    let refused = desk.daemon.deregister(WORKER, worker).await;
    assert!(matches!(refused, Err(ApiError::Unavailable { .. })), "{refused:?}");
}
