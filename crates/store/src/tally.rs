//! How much there is of everything.

use std::io;
use std::path::{Path, PathBuf};

use rrm_spec::JobState;

use crate::{Store, StoreError, names, sql};

/// What the database takes on disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSizes {
    /// The database file.
    pub database: u64,
    /// The write-ahead log.
    pub log: u64,
}

impl Store {
    /// How many jobs are in each state; states without jobs included.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn jobs_by_state(&self) -> Result<Vec<(JobState, u64)>, StoreError> {
        let found: Vec<(String, i64)> =
            sql::query_as("select state, count(*) from job group by state").fetch_all(&self.readers).await?;
        let mut counts: Vec<_> = JobState::ALL.into_iter().map(|state| (state, 0)).collect();
        for (name, count) in found {
            let state = names::state(&name)?;
            let place = counts.iter_mut().find(|(known, _)| *known == state).expect("all states are listed");
            place.1 = names::unsigned(count)?;
        }
        Ok(counts)
    }

    /// Sizes of the database's files.
    ///
    /// # Errors
    /// Where a file that exists cannot be looked at.
    pub fn file_sizes(&self) -> io::Result<FileSizes> {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        Ok(FileSizes { database: length(&self.path)?, log: length(&PathBuf::from(log))? })
    }
}

/// 0 where there is no such file: the log is absent until the first change.
fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
