//! Copies of the database that are whole and of one moment, and a look whether one is sound.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rrm_spec::{ArtifactHash, ParseIdError};
use rusqlite::Connection;

use crate::{OpenError, StoreError, names, open, sql};

/// Numbers that are passed over when a backup is restored: whatever was given out after the backup was made, such as the
/// attempt that a worker still holds, must never mean something else.
const NUMBERS_PASSED_OVER: i64 = 1_000_000;

/// Most faults that are told of one file.
const FAULTS: u32 = 10;

/// What a sound database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Version of its schema.
    pub schema: i64,
    /// Plans.
    pub submissions: u64,
    /// Jobs.
    pub jobs: u64,
    /// Files that the artifact store beside it must hold, with their sizes in bytes.
    pub artifacts: HashMap<ArtifactHash, u64>,
}

/// Why a copy was not made, or is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is not ours, or of a newer version.
    #[error(transparent)]
    Refused(Box<OpenError>),
    /// The copy cannot be made.
    #[error("{} cannot be copied to {}", from.display(), to.display())]
    Copy {
        /// The database.
        from: PathBuf,
        /// The copy, of which nothing is left.
        to: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The database cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// What is in the file contradicts itself.
    #[error("{} is damaged: {what}", path.display())]
    Unsound {
        /// Which.
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// The copy cannot be made durable.
    #[error("{} cannot be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::Refused(error.into())
    }
}

/// Copies a database as it is at one moment into the new file `to`; a daemon may write meanwhile and does not wait.
///
/// The copy has no write-ahead log, is sound, and is on the disk when this returns; its folder is left to the caller to sync.
///
/// # Errors
/// [`BackupError`]; no file `to` is left then.
pub async fn copy_database(from: &Path, to: &Path) -> Result<(), BackupError> {
    let (source, copy) = (from.to_owned(), to.to_owned());
    blocking(from, move || copy_now(&source, &copy)).await
}

/// Work for a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BackupError::Unreadable { path: path.to_owned(), source: StoreError::internal(error) })?
}

fn copy_now(from: &Path, to: &Path) -> Result<(), BackupError> {
    open::schema_of(from)?;
    let copied = match vacuum_into(from, to) {
        Ok(()) => finish(to),
        Err(source) => Err(BackupError::Copy { from: from.to_owned(), to: to.to_owned(), source }),
    };
    if copied.is_err() {
        // What is left is worth less than the error.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn vacuum_into(from: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = open::looking(from)?;
    connection.execute("vacuum into ?", [to.to_string_lossy()])?;
    Ok(())
}

fn finish(copy: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::File { path: copy.to_owned(), source };
    look_through(copy)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(failed)
}

/// Looks through every page, index and reference of a database, without changing it, and tells what it holds.
///
/// # Errors
/// [`BackupError::Unsound`] with what is wrong, and others where it cannot be read.
pub async fn check_database(path: &Path) -> Result<Contents, BackupError> {
    let database = path.to_owned();
    let look = move || {
        let (connection, schema) = look_through(&database)?;
        contents(&connection, schema).map_err(|source| BackupError::Unreadable { path: database, source })
    };
    blocking(path, look).await
}

/// A database in which SQLite finds no fault, and the version of its schema.
fn look_through(path: &Path) -> Result<(Connection, i64), BackupError> {
    let schema = open::schema_of(path)?;
    let unreadable = |error| match error {
        StoreError::Damaged { what } => BackupError::Unsound { path: path.to_owned(), what },
        source => BackupError::Unreadable { path: path.to_owned(), source },
    };
    let connection = open::looking(path).map_err(unreadable)?;
    let faults = faults(&connection).map_err(unreadable)?;
    match faults.is_empty() {
        true => Ok((connection, schema)),
        false => Err(BackupError::Unsound { path: path.to_owned(), what: faults.join("; ") }),
    }
}

fn faults(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let check = format!("pragma integrity_check({FAULTS})");
    let found: Vec<String> = sql::query_scalar(check).fetch_all(connection)?;
    let dangling: Vec<(String, Option<i64>, String, i64)> =
        sql::query_as("pragma foreign_key_check").fetch_all(connection)?;
    let dangling = dangling.into_iter().take(FAULTS as usize).map(|(table, row, parent, _)| {
        let row = row.map_or(String::new(), |row| format!(" row {row}"));
        format!("{table}{row} refers to no {parent}")
    });
    Ok(found.into_iter().filter(|line| line != "ok").chain(dangling).collect())
}

fn contents(connection: &Connection, schema: i64) -> Result<Contents, StoreError> {
    let (submissions, jobs): (i64, i64) =
        sql::query_as("select (select count(*) from submission), (select count(*) from job)").fetch_one(connection)?;
    let rows: Vec<(String, i64)> = sql::query_as("select sha256, bytes from artifact").fetch_all(connection)?;
    let hash = |sha256: &str| sha256.parse().map_err(|e: ParseIdError| StoreError::internal(e));
    let artifacts = rows.iter().map(|(sha256, bytes)| Ok((hash(sha256)?, names::unsigned(*bytes)?)));
    let artifacts = artifacts.collect::<Result<_, StoreError>>()?;
    Ok(Contents { schema, submissions: names::unsigned(submissions)?, jobs: names::unsigned(jobs)?, artifacts })
}

/// Moves all counters of ids on, in a copy that is about to be used in place of the database that it was made of.
///
/// # Errors
/// [`BackupError::Unreadable`] where the file cannot be changed.
pub async fn pass_over_numbers(path: &Path) -> Result<(), BackupError> {
    let database = path.to_owned();
    let pass = move || move_counters(&database).map_err(|source| BackupError::Unreadable { path: database, source });
    blocking(path, pass).await
}

fn move_counters(path: &Path) -> Result<(), StoreError> {
    let connection = open::writing(path)?;
    // A table that never had a row has no counter yet.
    let all = "insert into sqlite_sequence (name, seq) select name, 0 from sqlite_schema \
               where type = 'table' and sql like '%autoincrement%' and name not in (select name from sqlite_sequence)";
    sql::query(all).execute(&connection)?;
    sql::query("update sqlite_sequence set seq = seq + ?").bind(NUMBERS_PASSED_OVER).execute(&connection)?;
    Ok(connection.close().map_err(|(_, error)| error)?)
}

/// Keeps a copy of a database that is about to be upgraded from `schema`, beside it: where, if it is kept.
pub(crate) fn keep_before_upgrade(path: &Path, schema: i64) -> Result<PathBuf, BackupError> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (draft, kept) = (beside(".copy"), beside(&format!(".schema-{schema}")));
    let failed = |source| BackupError::File { path: kept.clone(), source };
    // Of a start that was cut off.
    let _ = std::fs::remove_file(&draft);
    copy_now(path, &draft)?;
    std::fs::rename(&draft, &kept).map_err(failed)?;
    let folder = kept.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::schema;

    async fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        Store::open(&path).await.unwrap().close().await;
        (folder, path)
    }

    fn execute(path: &Path, sql: &str) {
        let connection = open::writing(path).unwrap();
        connection.execute_batch("pragma foreign_keys = off").unwrap();
        connection.execute_batch(sql).unwrap();
    }

    const WORKER: &str = "insert into worker (boot_id, node, version, online, registered_at, last_seen_at) \
                          values (hex(randomblob(9)), 'n', '0', 0, 1, 1)";

    #[tokio::test]
    async fn a_copy_of_a_database_in_use_has_what_is_only_in_its_log() {
        let (folder, path) = database().await;
        let writer = open::writing(&path).unwrap();
        writer.execute_batch(WORKER).unwrap();
        let copy = folder.path().join("copy.db");
        copy_database(&path, &copy).await.unwrap();
        let reader = open::looking(&copy).unwrap();
        let workers: i64 = sql::query_scalar("select count(*) from worker").fetch_one(&reader).unwrap();
        assert_eq!(workers, 1);
        assert_eq!(check_database(&copy).await.unwrap().schema, schema::VERSION);
        assert!(matches!(copy_database(&path, &copy).await, Err(BackupError::Copy { .. })), "it would be overwritten");
    }

    #[tokio::test]
    async fn a_row_that_refers_to_nothing_is_found() {
        let (_folder, path) = database().await;
        execute(&path, "insert into worker_device (worker_id, device, name) values (99, 'cpu', 'x')");
        let found = check_database(&path).await.unwrap_err();
        assert!(matches!(&found, BackupError::Unsound { what, .. } if what.contains("worker_device")), "{found}");
    }

    #[tokio::test]
    async fn a_byte_that_was_changed_is_found() {
        let (_folder, path) = database().await;
        execute(
            &path,
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000) \
                        insert into event (at, kind, data) select i, 'note', '{}' from n; \
                        pragma wal_checkpoint(truncate)",
        );
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 8192 * 4096;
        bytes[middle..middle + 8].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let found = check_database(&path).await;
        assert!(matches!(found, Err(BackupError::Unsound { .. })), "{found:?}");
    }

    #[tokio::test]
    async fn numbers_go_on_far_behind_those_that_the_copy_knows() {
        let (_folder, path) = database().await;
        execute(&path, WORKER);
        pass_over_numbers(&path).await.unwrap();
        execute(&path, WORKER);
        let reader = open::looking(&path).unwrap();
        let newest: i64 = sql::query_scalar("select max(worker_id) from worker").fetch_one(&reader).unwrap();
        assert_eq!(newest, NUMBERS_PASSED_OVER + 2);
        let attempts = "select seq from sqlite_sequence where name = 'attempt'";
        let attempts: i64 = sql::query_scalar(attempts).fetch_one(&reader).unwrap();
        assert_eq!(attempts, NUMBERS_PASSED_OVER, "none was ever made, and one may have been after the backup");
    }
}
