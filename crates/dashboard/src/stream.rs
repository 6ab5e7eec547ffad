//! What changes on a page, as server-sent events (WHATWG HTML §9.2).
//!
//! Three kinds: `part` has a part of the page that has changed, `entry` an event for the page's list, and `reload` says that
//! more has happened than is worth telling one by one. Each has the number of an event as its id. A browser that comes back
//! names the last one in `Last-Event-ID`: it gets every later entry, each once, and the parts as they are then.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream};
use rrm_spec::{EventView, JobId, Progress};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::PageError;
use crate::event::entry;
use crate::page::Page;
use crate::site::Site;
use crate::view::{Feed, Keeps, View};

/// Messages that wait for a slow reader; the page is not looked at again before they are taken.
const BACKLOG: usize = 4;

/// A page is put together so often at most, whatever happens.
const PAUSE: Duration = Duration::from_secs(1);

/// A stream ends after so long, and the browser comes back: a place that somebody holds for nothing becomes free.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Entries that are told one by one after an absence.
const REPLAYED: u32 = 200;

type Messages = mpsc::Sender<Result<Event, Infallible>>;
type Stream = Sse<KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

/// Begins to tell what changes after event `since`; absent = from now on, beginning with the page as it is.
pub(crate) fn stream(site: Site, page: Page, since: Option<i64>) -> Result<Stream, PageError> {
    let place = site.streams.clone().try_acquire_owned().map_err(|_| PageError::Busy)?;
    let (messages, receiver) = mpsc::channel(BACKLOG);
    let teller = Teller { site, page, since, sent: HashMap::new() };
    tokio::spawn(teller.run(messages, place));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

struct Teller {
    site: Site,
    page: Page,
    /// The newest event that was told.
    since: Option<i64>,
    /// What the reader has.
    sent: HashMap<&'static str, String>,
}

/// Nothing more is to be told: the reader has gone, or cannot be told.
struct Done;

impl Teller {
    async fn run(mut self, messages: Messages, _place: OwnedSemaphorePermit) {
        let stopping = self.site.live.stopping();
        tokio::select! {
            Done = self.tell(&messages) => {}
            () = messages.closed() => {}
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    }

    async fn tell(&mut self, messages: &Messages) -> Done {
        let mut news = News::of(&self.site);
        loop {
            // Before looking: what happens while we look must wake us.
            news.mark_unchanged();
            let looked = Instant::now();
            let view = match self.look(messages).await {
                Ok(view) => view,
                Err(done) => return done,
            };
            if news.next(view.has_log).await.is_err() {
                return Done;
            }
            tokio::time::sleep(PAUSE.saturating_sub(looked.elapsed())).await;
        }
    }

    /// Tells what is new.
    async fn look(&mut self, messages: &Messages) -> Result<View, Done> {
        // Before the page: a part may then be newer than its id, and is told again, but never older.
        let newest = self.site.store.newest_event().await.map_err(|_| Done)?;
        let view = self.page.view(&self.site).await.map_err(|error| {
            tracing::debug!(%error, "a page's stream ends");
            Done
        })?;
        let since = self.since.unwrap_or(newest);
        let told = self.tell_entries(messages, view.events, since, newest).await?;
        for part in view.parts.iter().filter(|part| part.keeps == Keeps::Fresh) {
            if self.sent.get(part.id) == Some(&part.content.0) {
                continue;
            }
            let data = json!({ "id": part.id, "html": part.content.0 });
            send(messages, "part", told, &data).await?;
            self.sent.insert(part.id, part.content.0.clone());
        }
        self.since = Some(told);
        Ok(view)
    }

    /// Tells the events after `since`; the number of the last one that is known now.
    async fn tell_entries(&self, messages: &Messages, feed: Feed, since: i64, newest: i64) -> Result<i64, Done> {
        let store = &self.site.store;
        let events = match feed {
            Feed::None => return Ok(newest),
            Feed::All => store.events(since, None, REPLAYED).await,
            Feed::Job(job) => store.job_events(job, since, REPLAYED).await,
        };
        let events: Vec<EventView> = events.map_err(|_| Done)?;
        if events.len() == REPLAYED as usize {
            send(messages, "reload", newest, &json!({})).await?;
            return Ok(newest);
        }
        for event in &events {
            send(messages, "entry", event.seq, &json!({ "html": entry(event).0 })).await?;
        }
        Ok(events.last().map_or(newest, |last| last.seq.max(newest)))
    }
}

/// JSON, in which there are no line ends that would end a message's line.
async fn send(messages: &Messages, kind: &str, id: i64, data: &serde_json::Value) -> Result<(), Done> {
    let event = Event::default().event(kind).id(id.to_string()).data(data.to_string());
    messages.send(Ok(event)).await.map_err(|_| Done)
}

/// What may change a page.
struct News {
    events: watch::Receiver<i64>,
    logs: watch::Receiver<u64>,
    progress: broadcast::Receiver<(JobId, Progress)>,
}

impl News {
    fn of(site: &Site) -> Self {
        Self { events: site.store.watch_events(), logs: site.live.watch_logs(), progress: site.live.watch_progress() }
    }

    fn mark_unchanged(&mut self) {
        self.events.mark_unchanged();
        self.logs.mark_unchanged();
        // What was reported so far is on the page that is put together now.
        self.progress = self.progress.resubscribe();
    }

    /// Waits for something; an error where nothing will happen any more.
    async fn next(&mut self, has_log: bool) -> Result<(), Done> {
        let Self { events, logs, progress } = self;
        tokio::select! {
            changed = events.changed() => changed.map_err(|_| Done),
            changed = logs.changed(), if has_log => changed.map_err(|_| Done),
            heard = progress.recv() => match heard {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                Err(broadcast::error::RecvError::Closed) => Err(Done),
            },
        }
    }
}
