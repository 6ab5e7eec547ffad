//! What was acknowledged, written to a file of its own and synced before anything else is done.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::{Entry, Ledger};

pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    /// When the newest acknowledged operation was begun.
    newest: watch::Sender<Instant>,
    /// Late words that were refused, as they must be.
    pub(crate) refused: AtomicU64,
    /// What was answered as it must not be.
    wrong: Mutex<Vec<String>>,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path).expect("the journal can be opened");
        Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            newest: watch::Sender::new(Instant::now()),
            refused: AtomicU64::new(0),
            wrong: Mutex::new(vec![]),
        }
    }

    /// An operation that was begun at `begun` is acknowledged.
    pub(crate) fn acknowledged(&self, begun: Instant, entry: &Entry) {
        let line = format!("{}\n", entry.value());
        let mut file = self.file.lock().expect("nothing panics while it writes");
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).expect("the journal can be written");
        self.newest.send_if_modified(|newest| {
            let is_newer = begun > *newest;
            *newest = begun.max(*newest);
            is_newer
        });
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_wrong(&self, what: String) {
        self.wrong.lock().expect("nothing panics while it writes").push(what);
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().expect("nothing panics while it writes").clone()
    }

    /// How long after `from` an operation that was begun later was acknowledged; nothing where none is for a minute.
    pub(crate) async fn recovery_since(&self, from: Instant) -> Option<Duration> {
        let mut newest = self.newest.subscribe();
        let again = newest.wait_for(|begun| *begun > from);
        tokio::time::timeout(Duration::from_secs(60), again).await.ok()?.ok()?;
        Some(from.elapsed())
    }

    /// All that has been acknowledged so far, as the file has it.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::read(&std::fs::read_to_string(&self.path).expect("the journal can be read"))
    }
}
