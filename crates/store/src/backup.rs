//! Copies of the database that are whole and of one moment, and a look whether one is sound.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rrm_spec::{ArtifactHash, ParseIdError};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{OpenError, StoreError, names, open};

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
    open::schema_of(from, open::looking(from)).await?;
    let copied = vacuum_into(from, to).await;
    let copied = match copied {
        Ok(()) => finish(to).await,
        Err(source) => Err(BackupError::Copy { from: from.to_owned(), to: to.to_owned(), source }),
    };
    if copied.is_err() {
        // What is left is worth less than the error.
        let _ = std::fs::remove_file(to);
    }
    copied
}

async fn vacuum_into(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut connection = open::looking(from).connect().await?;
    let copied = sqlx::query("vacuum into ?").bind(to.to_string_lossy()).execute(&mut connection).await;
    connection.close().await?;
    Ok(copied.map(drop)?)
}

async fn finish(copy: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::File { path: copy.to_owned(), source };
    look_through(copy).await?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(failed)
}

/// Looks through every page, index and reference of a database, without changing it, and tells what it holds.
///
/// # Errors
/// [`BackupError::Unsound`] with what is wrong, and others where it cannot be read.
pub async fn check_database(path: &Path) -> Result<Contents, BackupError> {
    let schema = look_through(path).await?;
    let unreadable = |source: StoreError| BackupError::Unreadable { path: path.to_owned(), source };
    let mut connection = open::looking(path).connect().await.map_err(|error| unreadable(error.into()))?;
    let contents = contents(&mut connection, schema).await.map_err(unreadable)?;
    connection.close().await.map_err(|error| unreadable(error.into()))?;
    Ok(contents)
}

/// The schema's version of a database in which SQLite finds no fault.
async fn look_through(path: &Path) -> Result<i64, BackupError> {
    let schema = open::schema_of(path, open::looking(path)).await?;
    let unreadable = |error: sqlx::Error| match StoreError::from(error) {
        StoreError::Damaged { what } => BackupError::Unsound { path: path.to_owned(), what },
        source => BackupError::Unreadable { path: path.to_owned(), source },
    };
    let mut connection = open::looking(path).connect().await.map_err(unreadable)?;
    let faults = faults(&mut connection).await.map_err(unreadable)?;
    connection.close().await.map_err(unreadable)?;
    match faults.is_empty() {
        true => Ok(schema),
        false => Err(BackupError::Unsound { path: path.to_owned(), what: faults.join("; ") }),
    }
}

async fn faults(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let check = sqlx::AssertSqlSafe(format!("pragma integrity_check({FAULTS})"));
    let found: Vec<String> = sqlx::query_scalar(check).fetch_all(&mut *connection).await?;
    let dangling: Vec<(String, Option<i64>, String, i64)> =
        sqlx::query_as("pragma foreign_key_check").fetch_all(connection).await?;
    let dangling = dangling.into_iter().take(FAULTS as usize).map(|(table, row, parent, _)| {
        let row = row.map_or(String::new(), |row| format!(" row {row}"));
        format!("{table}{row} refers to no {parent}")
    });
    Ok(found.into_iter().filter(|line| line != "ok").chain(dangling).collect())
}

async fn contents(connection: &mut SqliteConnection, schema: i64) -> Result<Contents, StoreError> {
    let (submissions, jobs): (i64, i64) =
        sqlx::query_as("select (select count(*) from submission), (select count(*) from job)")
            .fetch_one(&mut *connection)
            .await?;
    let rows: Vec<(String, i64)> = sqlx::query_as("select sha256, bytes from artifact").fetch_all(connection).await?;
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
    let failed = |error: sqlx::Error| BackupError::Unreadable { path: path.to_owned(), source: error.into() };
    let mut connection = open::writing(path).connect().await.map_err(failed)?;
    // A table that never had a row has no counter yet.
    let all = "insert into sqlite_sequence (name, seq) select name, 0 from sqlite_schema \
               where type = 'table' and sql like '%autoincrement%' and name not in (select name from sqlite_sequence)";
    sqlx::query(all).execute(&mut connection).await.map_err(failed)?;
    sqlx::query("update sqlite_sequence set seq = seq + ?")
        .bind(NUMBERS_PASSED_OVER)
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// Keeps a copy of a database that is about to be upgraded from `schema`, beside it: where, if it is kept.
pub(crate) async fn keep_before_upgrade(path: &Path, schema: i64) -> Result<PathBuf, BackupError> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (draft, kept) = (beside(".copy"), beside(&format!(".schema-{schema}")));
    let failed = |source| BackupError::File { path: kept.clone(), source };
    // Of a start that was cut off.
    let _ = std::fs::remove_file(&draft);
    copy_database(path, &draft).await?;
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

    async fn execute(path: &Path, sql: &'static str) {
        let mut connection = open::writing(path).foreign_keys(false).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    const WORKER: &str = "insert into worker (boot_id, node, version, online, registered_at, last_seen_at) \
                          values (hex(randomblob(9)), 'n', '0', 0, 1, 1)";

    #[tokio::test]
    async fn a_copy_of_a_database_in_use_has_what_is_only_in_its_log() {
        let (folder, path) = database().await;
        let mut writer = open::writing(&path).connect().await.unwrap();
        sqlx::raw_sql(WORKER).execute(&mut writer).await.unwrap();
        let copy = folder.path().join("copy.db");
        copy_database(&path, &copy).await.unwrap();
        let mut reader = open::looking(&copy).connect().await.unwrap();
        let workers: i64 = sqlx::query_scalar("select count(*) from worker").fetch_one(&mut reader).await.unwrap();
        assert_eq!(workers, 1);
        assert_eq!(check_database(&copy).await.unwrap().schema, schema::VERSION);
        assert!(matches!(copy_database(&path, &copy).await, Err(BackupError::Copy { .. })), "it would be overwritten");
    }

    #[tokio::test]
    async fn a_row_that_refers_to_nothing_is_found() {
        let (_folder, path) = database().await;
        execute(&path, "insert into worker_device (worker_id, device, name) values (99, 'cpu', 'x')").await;
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
        )
        .await;
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
        execute(&path, WORKER).await;
        pass_over_numbers(&path).await.unwrap();
        execute(&path, WORKER).await;
        let mut reader = open::looking(&path).connect().await.unwrap();
        let newest: i64 = sqlx::query_scalar("select max(worker_id) from worker").fetch_one(&mut reader).await.unwrap();
        assert_eq!(newest, NUMBERS_PASSED_OVER + 2);
        let attempts = "select seq from sqlite_sequence where name = 'attempt'";
        let attempts: i64 = sqlx::query_scalar(attempts).fetch_one(&mut reader).await.unwrap();
        assert_eq!(attempts, NUMBERS_PASSED_OVER, "none was ever made, and one may have been after the backup");
    }
}
