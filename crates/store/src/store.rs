//! The handle that everybody holds.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::writer::{BATCH, Bells, Envelope, Message, Writer};
use crate::{Commits, OpenError, Readers, StoreError, Write, open, sql};

/// The open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    writes: mpsc::Sender<Message>,
    pub(crate) readers: Readers,
    events: watch::Receiver<i64>,
    queued: watch::Receiver<u64>,
    commits: Commits,
    pub(crate) path: Arc<Path>,
}

impl Store {
    /// Opens the database at `path`, making or upgrading it as needed, and starts the writer.
    ///
    /// # Errors
    /// [`OpenError`] where it is not ours, is too new, lies on a network file system, or cannot be read.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || open::open(&opened)).await;
        let (connection, readers) = opened.map_err(|error| open::unusable(path, StoreError::internal(error)))??;
        let (writes, inbox) = mpsc::channel(BATCH);
        let (event_bell, events) = watch::channel(0);
        let (queue_bell, queued) = watch::channel(0);
        let bells = Bells { events: event_bell, queued: queue_bell };
        let commits = Commits::new();
        let writer = Writer::new(path.to_owned(), connection, inbox, bells, commits.clone());
        // A thread of its own: a commit waits for the disk, and nobody else shall wait behind it.
        let started = std::thread::Builder::new().name("rrm-writer".into()).spawn(|| writer.run());
        started.map_err(|error| open::unusable(path, StoreError::internal(error)))?;
        Ok(Self { writes, readers, events, queued, commits, path: path.into() })
    }

    /// Makes a change at time `now` (microseconds since the Unix epoch) and answers when it is durable.
    ///
    /// Once the writer has it the change is made, even if the caller stops waiting.
    ///
    /// # Errors
    /// Those of the change, and [`StoreError`]'s for the disk; nothing of it is stored then.
    pub async fn write<W: Write>(&self, now: i64, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Write(Box::new(Envelope { now, write, reply }));
        self.writes.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Changes whenever there are new events.
    pub fn watch_events(&self) -> watch::Receiver<i64> {
        self.events.clone()
    }

    /// Changes whenever a job becomes ready for a worker.
    pub fn watch_queue(&self) -> watch::Receiver<u64> {
        self.queued.clone()
    }

    /// How long commits take, and how many changes they hold, since the store was opened.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Whether it can be read now, and takes changes.
    pub async fn answers(&self) -> bool {
        let read = sql::query_scalar::<Option<i64>>("select max(seq) from event").fetch_one(&self.readers).await;
        read.is_ok() && !self.writes.is_closed()
    }

    /// Completes when the writer has ended: the store was closed, or the writer has panicked. No change is made any more.
    pub async fn closed(&self) {
        self.writes.closed().await;
    }

    /// Finishes what is under way, empties the write-ahead log and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        let (reply, closed) = oneshot::channel();
        if self.writes.send(Message::Close(reply)).await.is_ok() {
            // An error says that the writer has already ended.
            let _ = closed.await;
        }
    }
}
