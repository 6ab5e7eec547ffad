//! The connections that only read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{StoreError, open};

/// Readers at once. They are dashboards' and users' queries of milliseconds; the writer does not wait for them.
const READERS: u32 = 4;

/// A few connections that cannot change anything, each in a thread of its own while it is used. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    path: Arc<Path>,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens the first one, so that a file that cannot be read is noticed at once.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let first = open::reading(path)?;
        Ok(Self {
            path: path.into(),
            turns: Arc::new(Semaphore::new(READERS as usize)),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// What `work` finds.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Self::close`]; where no connection can be opened; and those of `work`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = waiting.map_or_else(|| open::reading(&path), Ok)?;
            let found = work(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            found
        });
        done.await.map_err(StoreError::internal)?
    }

    /// What `work` finds in one transaction: all that it reads is of one moment.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn at_one_moment<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |connection| {
            let moment = connection.unchecked_transaction()?;
            let found = work(&moment)?;
            moment.finish()?;
            Ok(found)
        })
        .await
    }

    /// Waits for those who read, and closes all connections.
    pub(crate) async fn close(&self) {
        // An error says that this was done before.
        if let Ok(turns) = self.turns.acquire_many(READERS).await {
            self.turns.close();
            drop(turns);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
