//! The only thread that writes: it commits what has gathered since the last commit in one transaction.
//!
//! The disk's flush costs milliseconds and is the same for one change as for hundreds, so latency is one flush and
//! throughput grows with the load. Replies leave after COMMIT: what was answered survives a power cut.

use std::path::PathBuf;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::caller::Caller;
use crate::limit::Counted;
use crate::{Commits, StoreError, open, sql};

/// Most changes in one transaction, and most that wait for the next: bounds memory and the latency of a commit.
pub(crate) const BATCH: usize = 256;

/// A change to the database: all of it happens, or nothing.
pub trait Write: Send + 'static {
    /// What the caller learns.
    type Output: Send + 'static;

    /// Makes the change. An error undoes it and leaves the changes beside it in the same transaction alone.
    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Output, StoreError>;
}

/// An open transaction of the writer.
pub struct Tx<'c> {
    pub(crate) connection: &'c Connection,
    /// Time of the change, in microseconds since the Unix epoch.
    pub(crate) now: i64,
    /// Who has asked for the change; nobody has for what the daemon does by itself.
    pub(crate) caller: Option<Caller>,
    /// Whether a job became ready for a worker.
    pub(crate) queued: bool,
    /// The newest event's number, where there is a new one.
    pub(crate) newest_event: Option<i64>,
    pub(crate) open_jobs: &'c mut Counted,
}

/// Wakes those who wait for news. The numbers say nothing but that something has changed.
pub(crate) struct Bells {
    /// Number of the newest event.
    pub(crate) events: watch::Sender<i64>,
    /// Times that jobs became ready.
    pub(crate) queued: watch::Sender<u64>,
}

pub(crate) enum Message {
    Write(Box<dyn Pending>),
    /// Finish what is queued, empty the write-ahead log, close, and answer.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    path: PathBuf,
    /// Absent after an error of the disk: what the system's cache then holds is not to be trusted.
    connection: Option<Connection>,
    inbox: mpsc::Receiver<Message>,
    bells: Bells,
    commits: Commits,
    open_jobs: Counted,
}

impl Writer {
    pub(crate) fn new(
        path: PathBuf,
        connection: Connection,
        inbox: mpsc::Receiver<Message>,
        bells: Bells,
        commits: Commits,
    ) -> Self {
        Self { path, connection: Some(connection), inbox, bells, commits, open_jobs: Counted::default() }
    }

    /// Runs until closed, or until nobody can write any more.
    pub(crate) fn run(mut self) {
        let mut closing = None;
        while let Some(first) = self.inbox.blocking_recv() {
            let (batch, close) = self.gather(first);
            if let Some(reply) = close {
                // Nothing more comes in; what is in still gets its answer.
                self.inbox.close();
                closing = Some(reply);
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
        self.finish();
        if let Some(reply) = closing {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    fn gather(&mut self, first: Message) -> (Vec<Box<dyn Pending>>, Option<oneshot::Sender<()>>) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(write) => batch.push(write),
                Message::Close(reply) => return (batch, Some(reply)),
            }
            next = if batch.len() < BATCH { self.inbox.try_recv().ok() } else { None };
        }
        (batch, None)
    }

    fn commit(&mut self, batch: Vec<Box<dyn Pending>>) {
        let connection = match self.connect() {
            Ok(connection) => connection,
            Err(error) => return batch.into_iter().for_each(|write| write.refuse(error.clone())),
        };
        let mut tx = Tx {
            connection: &connection,
            now: 0,
            caller: None,
            queued: false,
            newest_event: None,
            open_jobs: &mut self.open_jobs,
        };
        let (changes, begun) = (batch.len(), Instant::now());
        let (answers, done) = run_all(batch, &mut tx);
        self.commits.observe(begun.elapsed(), changes, done.is_ok());
        let (queued, newest_event) = (tx.queued, tx.newest_event);
        match &done {
            Ok(()) => self.ring(queued, newest_event),
            Err(error) => {
                tracing::error!(%error, "nothing of the last transaction is stored");
                // What was counted in it is not so.
                self.open_jobs = Counted::default();
            }
        }
        if !matches!(done, Err(StoreError::Unavailable { .. })) {
            self.connection = Some(connection);
        }
        answers.into_iter().for_each(|answer| answer(done.clone()));
    }

    fn connect(&mut self) -> Result<Connection, StoreError> {
        self.connection.take().map_or_else(|| open::writing(&self.path), Ok)
    }

    fn ring(&self, queued: bool, newest_event: Option<i64>) {
        if let Some(seq) = newest_event {
            self.bells.events.send_replace(seq);
        }
        if queued {
            self.bells.queued.send_modify(|times| *times += 1);
        }
    }

    fn finish(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let emptied = connection.execute_batch("pragma wal_checkpoint(truncate)");
        // The log is complete and is replayed at the next start: a failure here costs nothing.
        let closed = connection.close().map_err(|(_, error)| error);
        if let Err(error) = emptied.and(closed) {
            tracing::warn!(%error, "the write-ahead log was not emptied");
        }
    }
}

/// Sends a change's answer, once it is known whether its transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A [`Write`] of any kind with the place for its answer.
pub(crate) trait Pending: Send {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Applied;

    /// Answers without having run.
    fn refuse(self: Box<Self>, error: StoreError);
}

pub(crate) struct Applied {
    error: Option<StoreError>,
    answer: Answer,
}

pub(crate) struct Envelope<W: Write> {
    pub(crate) now: i64,
    pub(crate) write: W,
    pub(crate) reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Write> Pending for Envelope<W> {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Applied {
        let Self { now, write, reply } = *self;
        tx.now = now;
        let result = write.apply(tx);
        let error = result.as_ref().err().cloned();
        // A caller who has gone needs no answer.
        let answer = Box::new(move |done: Result<(), StoreError>| drop(reply.send(done.and(result))));
        Applied { error, answer }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.reply.send(Err(error)));
    }
}

/// One transaction. What went wrong with single changes is in their answers; the result is that of the whole.
fn run_all(batch: Vec<Box<dyn Pending>>, tx: &mut Tx<'_>) -> (Vec<Answer>, Result<(), StoreError>) {
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
    let mut done = statement(tx, "begin immediate");
    for write in batch {
        if let Err(error) = &done {
            write.refuse(error.clone());
            continue;
        }
        match run_one(write, tx) {
            Ok(answer) => answers.push(answer),
            Err((answer, error)) => {
                answers.push(answer);
                done = Err(error);
            }
        }
    }
    if done.is_ok() {
        done = statement(tx, "commit");
    }
    if done.is_err() {
        // Fails where SQLite has rolled back by itself, which is as good.
        let _ = statement(tx, "rollback");
    }
    (answers, done)
}

fn run_one(write: Box<dyn Pending>, tx: &mut Tx<'_>) -> Result<Answer, (Answer, StoreError)> {
    if let Err(error) = statement(tx, "savepoint change") {
        let refused = error.clone();
        return Err((Box::new(move |_| write.refuse(refused)), error));
    }
    let before = (tx.queued, tx.newest_event);
    let Applied { error, answer } = write.run(tx);
    let after = match &error {
        None => statement(tx, "release change"),
        Some(error) if error.ends_transaction() => Err(error.clone()),
        Some(_) => {
            (tx.queued, tx.newest_event) = before;
            undo(tx)
        }
    };
    match after {
        Ok(()) => Ok(answer),
        Err(error) => Err((answer, error)),
    }
}

fn undo(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    statement(tx, "rollback to change")?;
    statement(tx, "release change")
}

fn statement(tx: &mut Tx<'_>, sql: &'static str) -> Result<(), StoreError> {
    sql::query(sql).execute(tx.connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::{Store, event, event::Of};

    /// Writes an event, and then fails as told.
    struct Note {
        text: String,
        failure: Option<StoreError>,
    }

    impl Write for Note {
        type Output = ();

        fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
            event::add(tx, "note", Of::default(), json!({ "text": self.text }))?;
            self.failure.map_or(Ok(()), Err)
        }
    }

    /// Bounds the file: to SQLite the same as a full disk.
    struct Pages(i64);

    impl Write for Pages {
        type Output = ();

        fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
            Ok(tx.connection.execute_batch(&format!("pragma max_page_count = {}", self.0))?)
        }
    }

    fn note(size: usize) -> Note {
        Note { text: "x".repeat(size), failure: None }
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("rrm.db")).await.unwrap();
        (folder, store)
    }

    async fn notes(store: &Store) -> usize {
        store.events(0, None, 1000).await.unwrap().len()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_leaves_the_state_intact() {
        let (_folder, store) = store().await;
        store.write(1, note(10)).await.unwrap();
        store.write(2, Pages(1)).await.unwrap(); // SQLite takes it for the present size.
        let full = store.write(3, note(100_000)).await;
        assert!(matches!(full, Err(StoreError::Exhausted { .. })), "{full:?}");
        assert_eq!(notes(&store).await, 1);
        store.write(4, Pages(1_000_000)).await.unwrap();
        store.write(5, note(100_000)).await.unwrap();
        assert_eq!(notes(&store).await, 2);
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_whole_transaction() {
        let (_folder, store) = store().await;
        store.write(1, Pages(1)).await.unwrap();
        let (small, large) = tokio::join!(store.write(2, note(10)), store.write(3, note(100_000)));
        assert!(large.is_err());
        // Whether both were in one transaction is the scheduler's choice; an acknowledged one is there in any case.
        assert_eq!(notes(&store).await, usize::from(small.is_ok()));
    }

    #[tokio::test]
    async fn after_an_error_of_the_disk_the_file_is_opened_anew() {
        let (_folder, store) = store().await;
        let broken = StoreError::Unavailable { what: "disk I/O error".into() };
        let refused = store.write(1, Note { failure: Some(broken), ..note(10) }).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        store.write(2, note(10)).await.unwrap();
        assert_eq!(notes(&store).await, 1);
    }

    /// A fault of our own.
    struct Faint;

    impl Write for Faint {
        type Output = ();

        fn apply(self, _: &mut Tx<'_>) -> Result<(), StoreError> {
            panic!("a test makes the writer panic")
        }
    }

    #[tokio::test]
    async fn a_writer_that_panics_is_noticed() {
        let (_folder, store) = store().await;
        let refused = store.write(1, Faint).await;
        assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
        store.closed().await;
    }

    #[tokio::test]
    async fn changes_that_wait_together_are_committed_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        let (connection, _readers) = open::open(&path).unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let counter = commits.clone();
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false // Whether it is rolled back instead.
        };
        connection.commit_hook(Some(count)).unwrap();
        let (writes, inbox) = mpsc::channel(2 * BATCH);
        let mut answers = Vec::new();
        for _ in 0..2 * BATCH {
            let (reply, answer) = oneshot::channel();
            assert!(writes.try_send(Message::Write(Box::new(Envelope { now: 1, write: note(10), reply }))).is_ok());
            answers.push(answer);
        }
        drop(writes);
        let bells = Bells { events: watch::channel(0).0, queued: watch::channel(0).0 };
        let writer = Writer::new(path, connection, inbox, bells, Commits::new());
        tokio::task::spawn_blocking(|| writer.run()).await.unwrap();
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(commits.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_change_is_made_even_when_the_caller_has_gone() {
        let (_folder, store) = store().await;
        let mut events = store.watch_events();
        tokio::select! {
            biased;
            done = store.write(1, note(10)) => done.unwrap(),
            () = std::future::ready(()) => {}
        }
        events.changed().await.unwrap();
        assert_eq!(notes(&store).await, 1);
    }
}
