use bytes::Bytes;
use rrm_api::{ApiError, Follow, LogChunk, Replies, Service};
use rrm_spec::{AttemptId, AttemptOutcome, JobId};
use tokio_stream::StreamExt;

use crate::desk::{Desk, KEEP, USER, WORKER, chain, single};

impl Desk {
    async fn push(&self, attempt: AttemptId, offset: u64, text: &'static str) -> u64 {
        self.daemon.push_log(WORKER, attempt, offset, Bytes::from_static(text.as_bytes())).await.unwrap()
    }

    async fn log(&self, job: JobId, offset: u64, follow: Follow) -> Replies<LogChunk> {
        self.daemon.logs(USER, job, None, offset, follow).await.unwrap()
    }
}

async fn text(mut chunks: Replies<LogChunk>) -> String {
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap().bytes).unwrap());
    }
    text
}

#[tokio::test]
async fn a_log_is_read_from_an_offset_to_its_present_end() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    assert_eq!(desk.push(attempt, 0, "one two ").await, 8);
    assert_eq!(desk.push(attempt, 4, "two three").await, 13);
    assert_eq!(text(desk.log(job, 0, Follow::No).await).await, "one two three");
    assert_eq!(text(desk.log(job, 8, Follow::No).await).await, "three");
}

#[tokio::test]
async fn a_followed_log_ends_with_its_attempt() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    // Nothing runs yet: it waits for the first attempt.
    let followed = tokio::spawn(text(desk.log(job, 0, Follow::Yes).await));
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.push(attempt, 0, "early ").await;
    desk.push(attempt, 6, "late").await;
    desk.settle(attempt, 0, AttemptOutcome::Stopped).await.unwrap();
    assert_eq!(followed.await.unwrap(), "early late");
    // What its trainer said last may come after its end.
    assert_eq!(desk.push(attempt, 10, ", and a last word").await, 27);
}

#[tokio::test]
async fn a_followed_log_is_cut_with_a_word_when_the_daemon_stops() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    let mut followed = desk.log(job, 0, Follow::Yes).await;
    desk.daemon.stop();
    assert!(matches!(followed.next().await, Some(Err(ApiError::Unavailable { .. }))));
    assert!(followed.next().await.is_none());
}

#[tokio::test]
async fn logs_of_what_does_not_exist_are_not_found() {
    let desk = Desk::new().await;
    let job = desk.submitted(&single()).await[0];
    for (job, attempt) in [(JobId(99), None), (job, None), (job, Some(AttemptId(5)))] {
        let missing = desk.daemon.logs(USER, job, attempt, 0, Follow::No).await;
        assert!(matches!(missing, Err(ApiError::NotFound { .. })), "job {job}, attempt {attempt:?}");
    }
    let pushed = desk.daemon.push_log(WORKER, AttemptId(5), 0, Bytes::new()).await;
    assert!(matches!(pushed, Err(ApiError::NotFound { .. })), "{pushed:?}");
}

#[tokio::test]
async fn a_log_is_deleted_some_time_after_its_job_has_ended() {
    let desk = Desk::new().await;
    let ids = desk.submitted(&chain()).await;
    let worker = desk.worker("node").await;
    let first = desk.start(worker).await;
    desk.push(first.attempt, 0, "ended").await;
    desk.finish(&first).await;
    let second = desk.start(worker).await.attempt;
    desk.push(second, 0, "runs").await;
    let ended = desk.job(ids[0]).await.summary.ended_at.unwrap();
    let keep = i64::try_from(KEEP.as_micros()).unwrap();
    for (now, kept) in [(ended + keep, "ended"), (ended + keep + 1, "")] {
        desk.daemon.collect_logs(now).await.unwrap();
        assert_eq!(text(desk.log(ids[0], 0, Follow::No).await).await, kept);
    }
    assert_eq!(text(desk.log(ids[1], 0, Follow::No).await).await, "runs");
}
