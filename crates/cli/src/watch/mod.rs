//! `rrm watch`: jobs as they go.

mod active;
mod bars;
mod board;
mod display;
mod happening;

use std::time::Duration;

use rrm_api::{Replies, WatchItem};
use rrm_spec::{EventView, SubmissionId};
use serde_json::{Value, json};
use tokio_stream::StreamExt;

use crate::{
    arguments::WatchArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::PlanSelector,
};
use board::Board;
use display::Display;

/// After such a silence the list is asked what the stream may not have told.
const SILENCE: Duration = Duration::from_secs(10);
/// Before a stream that ended, as with a restart of the daemon, is opened again.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(arguments: &WatchArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    if arguments.after > 0 && output.format() != Format::Json {
        return Err(Failure::new(Exit::Invalid, "--after is for programs: it goes with --json"));
    }
    let watched = match (arguments.plan, output.format()) {
        (Some(chosen), _) => plan(chosen, arguments.after, daemon, output).await,
        (None, Format::Json) => everything(arguments.after, daemon, output).await,
        (None, Format::Human | Format::Ids) => active::follow(daemon, output).await,
    };
    watched.map_err(|failure| failure.context("watch jobs"))
}

/// Follows a plan until its jobs have ended; the exit code says how.
///
/// What has happened already comes first: the stream of events begins after number `after`, or with the plan.
pub(crate) async fn plan(plan: PlanSelector, after: i64, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let submission = daemon.plan(plan).await?;
    let jobs = daemon.plan_jobs(PlanSelector::Id(submission)).await?;
    let mut board = Board::of_plan(&jobs);
    let mut display = Display::new(output, &board);
    let mut events = Events::new(daemon, after, Some(submission));
    while !board.has_ended() {
        match events.next().await? {
            Some(item) => take_in(item, &mut board, &mut display)?,
            None => reconcile(daemon, submission, &mut board, &mut display).await?,
        }
    }
    display.end(&board)?;
    Ok(Exit::of_jobs(board.states()))
}

/// Every event and all progress, until interrupted.
async fn everything(after: i64, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    // A daemon that is not there is an error at the beginning, and waited for later.
    daemon.list(&[], None, 1).await?;
    let mut events = Events::new(daemon, after, None);
    loop {
        if let Some(item) = events.next().await? {
            output.json_line(json_of(&item))?;
        }
    }
}

fn take_in(item: WatchItem, board: &mut Board, display: &mut Display) -> Result<(), Failure> {
    display.item(&item)?;
    match item {
        WatchItem::Event(event) => {
            if let Some(happening) = board.event(&event) {
                display.happening(&happening, event.at, board)?;
            }
        }
        WatchItem::Progress(job, progress) => board.progress(job, progress),
    }
    display.refresh(board);
    Ok(())
}

/// Takes over where the list is ahead of the events, which should not happen and would leave the watcher waiting for ever.
async fn reconcile(
    daemon: &Daemon,
    submission: SubmissionId,
    board: &mut Board,
    display: &mut Display,
) -> Result<(), Failure> {
    let listed = match daemon.impatient().list(&[], Some(submission), usize::MAX).await {
        Err(failure) if failure.is_unreachable() => {
            display.absent();
            return Ok(());
        }
        listed => listed?,
    };
    for job in listed {
        if let Some(happening) = board.listed(&job) {
            display.happening(&happening, job.ended_at.unwrap_or(job.created_at), board)?;
        }
    }
    display.refresh(board);
    Ok(())
}

/// The stream of events, opened again whenever it ends.
struct Events<'a> {
    daemon: &'a Daemon,
    after: i64,
    submission: Option<SubmissionId>,
    stream: Option<Replies<WatchItem>>,
}

impl<'a> Events<'a> {
    fn new(daemon: &'a Daemon, after: i64, submission: Option<SubmissionId>) -> Self {
        Self { daemon, after, submission, stream: None }
    }

    /// The next item; `None` after a silence.
    async fn next(&mut self) -> Result<Option<WatchItem>, Failure> {
        match tokio::time::timeout(SILENCE, self.item()).await {
            Ok(item) => item.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn item(&mut self) -> Result<WatchItem, Failure> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => self.stream.insert(self.daemon.patient().client.watch(self.after, self.submission).await?),
            };
            match stream.next().await {
                Some(item) => {
                    let item = item?;
                    if let WatchItem::Event(EventView { seq, .. }) = &item {
                        self.after = *seq;
                    }
                    return Ok(item);
                }
                None => {
                    self.stream = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// An item as a JSON object; an event's data is JSON already.
fn json_of(item: &WatchItem) -> Value {
    match item {
        WatchItem::Event(event) => {
            let EventView { seq, at, job, attempt, kind, data } = event;
            let data: Value = serde_json::from_str(data).unwrap_or_else(|_| data.as_str().into());
            json!({"event": {"seq": seq, "at": at, "job": job, "attempt": attempt, "kind": kind, "data": data}})
        }
        WatchItem::Progress(job, progress) => json!({"progress": {
            "job": job,
            "phase": progress.phase,
            "done": progress.done,
            "total": progress.total,
            "images_per_second": progress.images_per_second,
        }}),
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::{JobId, Progress};

    use super::*;

    #[test]
    fn an_events_data_is_json_inside_of_json() {
        let event = EventView {
            seq: 7,
            at: 1,
            job: Some(JobId(12)),
            attempt: None,
            kind: "job.state".into(),
            data: r#"{"to": "running"}"#.into(),
        };
        let json = json_of(&WatchItem::Event(event));
        assert_eq!((&json["event"]["seq"], &json["event"]["data"]["to"]), (&7.into(), &"running".into()));
    }

    #[test]
    fn progress_names_its_job() {
        let progress = Progress { phase: "epoch 1/2".into(), done: 1, total: 2, images_per_second: 3.5 };
        let json = json_of(&WatchItem::Progress(JobId(12), progress));
        assert_eq!((&json["progress"]["job"], &json["progress"]["total"]), (&12.into(), &2.into()));
    }
}
