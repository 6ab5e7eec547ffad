use rrm_api::{ApiError, Replies, Service, WatchItem};
use rrm_spec::{EventView, JobId, SubmissionId};
use tokio_stream::StreamExt;

use crate::desk::{Desk, USER, chain, epoch, single, started};

/// The stream's next event, skipping progress.
async fn next_event(items: &mut Replies<WatchItem>) -> EventView {
    loop {
        match items.next().await.expect("the stream goes on").unwrap() {
            WatchItem::Event(event) => return event,
            WatchItem::Progress(..) => {}
        }
    }
}

#[tokio::test]
async fn a_watcher_sees_what_was_and_what_comes_each_once() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let mut items = desk.daemon.watch(USER, 0, None).await.unwrap();
    let past: Vec<_> = [next_event(&mut items).await, next_event(&mut items).await].into();
    assert_eq!(past.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["submission", "job.state"]);
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.report(attempt, 1, &[started(1), epoch(1)]).await.unwrap();
    let mut kinds = Vec::new();
    let mut last = past[1].seq;
    while kinds.last().map(String::as_str) != Some("epoch") {
        let event = next_event(&mut items).await;
        assert!(event.seq > last, "out of order, or twice");
        last = event.seq;
        kinds.push(event.kind);
    }
    assert_eq!(kinds, ["worker.online", "job.state", "attempt.start", "run", "epoch"]);
    // A watcher who comes back goes on where it was.
    let mut again = desk.daemon.watch(USER, last - 1, None).await.unwrap();
    assert_eq!(next_event(&mut again).await.kind, "epoch");
}

#[tokio::test]
async fn a_watcher_of_one_plan_sees_no_other() {
    let desk = Desk::new().await;
    let first = desk.submit(&single()).await;
    desk.submit(&chain()).await;
    let worker = desk.worker("node").await;
    let lease = desk.start(worker).await;
    assert_eq!(lease.job, first.jobs[0].0);
    let mut other = desk.daemon.watch(USER, 0, Some(SubmissionId(2))).await.unwrap();
    let mut own = desk.daemon.watch(USER, 0, Some(first.submission)).await.unwrap();
    desk.beat(worker, &[lease.attempt]).await;
    for _ in 0..4 {
        let event = next_event(&mut other).await;
        assert!(event.job.is_none_or(|job| job != lease.job), "{event:?}");
    }
    let is_progress =
        |item: &Result<WatchItem, ApiError>| matches!(item, Ok(WatchItem::Progress(job, _)) if *job == lease.job);
    while !is_progress(&own.next().await.unwrap()) {}
    let missing = desk.daemon.watch(USER, 0, Some(SubmissionId(99))).await;
    assert!(matches!(missing, Err(ApiError::NotFound { .. })));
}

#[tokio::test]
async fn a_late_watcher_learns_at_once_where_running_jobs_stand() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.beat(worker, &[attempt]).await;
    let mut items = desk.daemon.watch(USER, 1_000_000, None).await.unwrap();
    let WatchItem::Progress(job, at) = items.next().await.unwrap().unwrap() else { panic!("no progress") };
    assert_eq!((job, at.done), (JobId(1), 3));
}

#[tokio::test]
async fn a_watcher_is_told_to_come_back_when_the_daemon_stops() {
    let desk = Desk::new().await;
    let mut items = desk.daemon.watch(USER, 0, None).await.unwrap();
    desk.daemon.stop();
    assert!(matches!(items.next().await, Some(Err(ApiError::Unavailable { .. }))));
    assert!(items.next().await.is_none());
}
