use std::time::Duration;

use rrm_spec::{DrainHow, DrainTarget, JobChange};
use rrm_store::{Drain, Undrain};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::desk::{Desk, HOSTILE};

/// Longer than anything here takes on a busy machine; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message of a stream.
#[derive(Debug, PartialEq)]
struct Message {
    id: i64,
    kind: String,
    data: Value,
}

struct Stream(Lines<BufReader<TcpStream>>);

impl Stream {
    async fn open(desk: &Desk, path: &str, last: Option<i64>) -> Self {
        let last = last.map_or_else(String::new, |id| format!("\r\nLast-Event-ID: {id}"));
        let headers = format!("Host: localhost\r\nAccept: text/event-stream{last}");
        let mut lines = BufReader::new(desk.send("GET", path, &headers).await).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.contains(" 200 "), "{status}");
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Self(lines)
    }

    async fn next(&mut self) -> Message {
        let (mut id, mut kind, mut data) = (None, None, None);
        loop {
            let line = timeout(PATIENCE, self.0.next_line()).await.expect("something is told").unwrap().unwrap();
            match line.split_once(": ") {
                Some(("id", value)) => id = value.parse().ok(),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                _ if line.is_empty() && data.is_some() => break,
                _ => {}
            }
        }
        Message { id: id.unwrap(), kind: kind.unwrap(), data: data.unwrap() }
    }

    /// Messages up to a part of that name.
    async fn until_part(&mut self, name: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.last().is_none_or(|last: &Message| last.kind != "part" || last.data["id"] != name) {
            messages.push(self.next().await);
        }
        messages
    }
}

fn entries(messages: &[Message]) -> Vec<i64> {
    messages.iter().filter(|message| message.kind == "entry").map(|message| message.id).collect()
}

#[tokio::test]
async fn what_happens_while_nobody_listens_is_told_once_to_who_comes_back() {
    let desk = Desk::open().await;
    desk.submit().await;
    let mut stream = Stream::open(&desk, "/", Some(0)).await;
    let first = stream.until_part("failures").await;
    let told = entries(&first);
    assert_eq!(told, (1..=4).collect::<Vec<_>>(), "the submission and three jobs: {first:?}");
    drop(stream);

    desk.submit().await;
    let mut stream = Stream::open(&desk, "/", told.last().copied()).await;
    let second = stream.until_part("failures").await;
    assert_eq!(entries(&second), (5..=8).collect::<Vec<_>>(), "{second:?}");
    assert!(second.iter().all(|message| message.kind == "entry" || message.id == 8), "{second:?}");

    desk.submit().await;
    let third = stream.until_part("queue").await;
    assert_eq!(entries(&third), (9..=12).collect::<Vec<_>>(), "{third:?}");
    let parts: Vec<_> = third.iter().filter(|it| it.kind == "part").map(|it| it.data["id"].as_str().unwrap()).collect();
    assert_eq!(parts, ["counts", "queue"], "only what has changed is sent");
}

#[tokio::test]
async fn a_jobs_page_hears_of_that_job_alone() {
    let desk = Desk::filled().await;
    let mut stream = Stream::open(&desk, "/jobs/1", Some(0)).await;
    let messages = stream.until_part("checkpoints").await;
    let mut expected: Vec<i64> = Vec::new();
    for event in desk.store.job_events(rrm_spec::JobId(1), 0, 100).await.unwrap() {
        expected.push(event.seq);
    }
    assert!(expected.len() > 4);
    assert_eq!(entries(&messages), expected);
    let log = messages.iter().find(|message| message.data["id"] == "log").expect("the log is a part");
    let html = log.data["html"].as_str().unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
}

#[tokio::test]
async fn after_a_long_absence_the_page_is_loaded_anew() {
    let desk = Desk::open().await;
    for _ in 0..60 {
        desk.submit().await;
    }
    let mut stream = Stream::open(&desk, "/", Some(0)).await;
    let first = stream.next().await;
    assert_eq!((first.kind.as_str(), first.id), ("reload", 240));
}

#[tokio::test]
async fn readers_that_take_nothing_hold_nobody_up_and_are_bounded() {
    let desk = Desk::filled().await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        // The head alone is read: the stream has its place then.
        idle.push(Stream::open(&desk, "/", None).await);
    }
    let refused = desk.ask("GET", "/", "Host: localhost\r\nAccept: text/event-stream").await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.headers.contains("retry-after: "), "{}", refused.headers);
    timeout(PATIENCE, async {
        for _ in 0..50 {
            desk.submit().await;
        }
        assert_eq!(desk.get("/jobs").await.status, 200);
    })
    .await
    .expect("changes and pages go on");
    drop(idle);
    let freed = async {
        while desk.ask("HEAD", "/", "Host: localhost\r\nAccept: text/event-stream").await.status == 503 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.expect("who has gone leaves its place");
}

#[tokio::test]
async fn streams_end_and_health_says_so_when_the_daemon_stops() {
    let desk = Desk::filled().await;
    assert_eq!((desk.get("/healthz").await.status, desk.get("/healthz").await.body.as_str()), (200, "ok\n"));
    let mut stream = Stream::open(&desk, "/", None).await;
    stream.until_part("failures").await;
    desk.stopping.cancel();
    let rest = async { while stream.0.next_line().await.is_ok_and(|line| line.is_some()) {} };
    timeout(PATIENCE, rest).await.expect("the stream ends");
}

/// The part's HTML, which is the last message's.
fn html(messages: &[Message]) -> &str {
    messages.last().and_then(|last| last.data["html"].as_str()).expect("a part has HTML")
}

#[tokio::test]
async fn a_drain_and_its_end_are_told_to_whoever_looks_at_the_overview_or_at_the_workers() {
    let desk = Desk::open().await;
    desk.worker().await;
    let target = DrainTarget::Node(HOSTILE.into());
    for (path, last, marked) in [("/", "failures", "devices"), ("/workers", "gone", "connected")] {
        let mut stream = Stream::open(&desk, path, None).await;
        stream.until_part(last).await;
        desk.write(Drain { target: DrainTarget::Daemon, how: DrainHow::Finish }).await;
        assert!(html(&stream.until_part("drain").await).contains("No new work"), "{path}");
        desk.write(Undrain { target: DrainTarget::Daemon }).await;
        assert_eq!(html(&stream.until_part("drain").await), "", "{path}");
        desk.write(Drain { target: target.clone(), how: DrainHow::Finish }).await;
        assert!(html(&stream.until_part(marked).await).contains("class=\"drained\""), "{path}");
        desk.write(Undrain { target: target.clone() }).await;
        assert!(!html(&stream.until_part(marked).await).contains("class=\"drained\""), "{path}");
    }
}

#[tokio::test]
async fn a_hold_is_told_to_whoever_looks_at_the_job_the_list_or_the_queue() {
    let desk = Desk::open().await;
    desk.submit().await;
    for (path, last, changed, held) in [
        ("/jobs/1", "checkpoints", "facts", "queued, held"),
        ("/jobs", "list", "list", "queued, held"),
        ("/", "failures", "queue", "Next in line: none."),
    ] {
        let mut stream = Stream::open(&desk, path, None).await;
        let before = stream.until_part(last).await;
        assert!(before.iter().all(|message| !message.data.to_string().contains(held)), "{path}: {before:?}");
        desk.change(1, JobChange::Hold).await;
        let after = stream.until_part(changed).await;
        assert!(html(&after).contains(held), "{path}: {after:?}");
        desk.change(1, JobChange::Release).await;
        assert!(!html(&stream.until_part(changed).await).contains(held), "{path}");
    }
}
