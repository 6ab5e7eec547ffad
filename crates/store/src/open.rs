//! Opens the database file, or says why that would be unsafe.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{FsType, statfs};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{OpenError, Readers, StoreError, backup, schema};

/// The first version without the WAL-reset corruption: two connections that commit and checkpoint at the same instant.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for another process that has locked the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 256;

/// Magic numbers of statfs(2), from linux/magic.h and the file systems' own sources. A write-ahead log keeps its index in
/// shared memory, which machines do not share.
const NETWORKS: [(i64, &str); 10] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00C3_6400, "CephFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x4750_4653, "GPFS"),
];

/// Opens the writing connection, makes or upgrades the schema, and opens the readers.
pub(crate) fn open(path: &Path) -> Result<(Connection, Readers), OpenError> {
    refuse_old_sqlite(library_version())?;
    refuse_network(path)?;
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        let found = schema_of(path)?;
        if (1..schema::VERSION).contains(&found) {
            let kept = backup::keep_before_upgrade(path, found);
            let kept = kept.map_err(|source| OpenError::NotKept { path: path.to_owned(), source: source.into() })?;
            tracing::info!(schema = found, kept = %kept.display(), "the database is upgraded, a copy of it is kept");
        }
    }
    let failed = |error| unusable(path, error);
    let writer = writing(path).map_err(failed)?;
    let upgraded = schema::upgrade(&writer, schema::VERSION);
    upgraded.map_err(|error| OpenError::Migration { path: path.to_owned(), source: error.into() })?;
    Ok((writer, Readers::open(path).map_err(failed)?))
}

/// The connection that the writer opens, and opens again after an error of the disk.
pub(crate) fn writing(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    // NORMAL would lose acknowledged commits with the power.
    connection.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; \
         pragma wal_autocheckpoint = 1000; pragma journal_size_limit = 67108864",
    )?;
    Ok(connection)
}

/// One that changes nothing itself, but keeps the write-ahead log's index as a reader must.
pub(crate) fn reading(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("pragma query_only = on")?;
    Ok(connection)
}

/// Changes nothing, whoever writes meanwhile.
pub(crate) fn looking(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // With an untrusted schema a file from elsewhere cannot make us call functions with side effects.
    connection.execute_batch("pragma foreign_keys = on; pragma trusted_schema = off; pragma temp_store = memory")?;
    Ok(connection)
}

fn library_version() -> i32 {
    rusqlite::version_number()
}

/// The version of the SQLite that is built in, such as `3.51.3`.
pub fn sqlite_version() -> String {
    in_words(library_version())
}

fn in_words(version: i32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

fn refuse_old_sqlite(version: i32) -> Result<(), OpenError> {
    if version < OLDEST_SQLITE { Err(OpenError::OldSqlite { found: in_words(version) }) } else { Ok(()) }
}

fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let file_system =
        statfs(&folder).map_err(|source| OpenError::Folder { path: folder, source: source.into() })?.filesystem_type();
    match network_name(file_system) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

fn network_name(file_system: FsType) -> Option<&'static str> {
    NETWORKS.into_iter().find(|(magic, _)| *magic == file_system.0).map(|(_, name)| name)
}

pub(crate) fn unusable(path: &Path, source: StoreError) -> OpenError {
    OpenError::Database { path: path.to_owned(), source }
}

/// The schema's version, 0 where there is none yet. Looks before the writing connection could change anything in a file that
/// is not ours.
pub(crate) fn schema_of(path: &Path) -> Result<i64, OpenError> {
    let (application, version, tables) = header(path).map_err(|error| match error.sqlite_error_code() {
        // One that does not even begin like a database. One that only breaks off may be ours, and damaged.
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        _ => unusable(path, error.into()),
    })?;
    match (application, version) {
        // A start that was cut off before its first commit.
        (0, 0) if tables == 0 => Ok(0),
        (schema::APPLICATION_ID, found) if found > schema::VERSION => {
            Err(OpenError::NewerSchema { path: path.to_owned(), found, known: schema::VERSION })
        }
        (schema::APPLICATION_ID, found) => Ok(found),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Whose file it is, the version of its schema, and how much is in it.
fn header(path: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    // An error of the file is told by its own code, not by what it means to a caller: hence not [`looking`].
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(PATIENCE)?;
    let number = |sql: &str| connection.query_one(sql, (), |row| row.get(0));
    let tables = format!("select count(*) from sqlite_schema where tbl_name <> '{}'", schema::EARLIER_STEPS);
    Ok((number("pragma application_id")?, number("pragma user_version")?, number(&tables)?))
}

/// How SQLite would carry out a query, one step a line; values stay unbound.
#[cfg(test)]
pub(crate) async fn plan_of(readers: &Readers, sql: &str) -> String {
    let sql = format!("explain query plan {sql}");
    let steps = move |reader: &Connection| {
        let mut explanation = reader.prepare(&sql)?;
        let (mut steps, mut plan) = (explanation.raw_query(), String::new());
        while let Some(step) = steps.next()? {
            plan += &(step.get::<_, String>("detail")? + "\n");
        }
        Ok(plan)
    };
    readers.run(steps).await.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    #[test]
    fn an_sqlite_with_the_wal_reset_bug_is_refused() {
        assert!(matches!(refuse_old_sqlite(3_051_002), Err(OpenError::OldSqlite { found }) if found == "3.51.2"));
        assert!(refuse_old_sqlite(library_version()).is_ok());
    }

    #[test]
    fn network_file_systems_are_refused_by_name() {
        assert_eq!(network_name(nix::sys::statfs::NFS_SUPER_MAGIC), Some("NFS"));
        assert_eq!(network_name(FsType(0x0BD0_0BD0)), Some("Lustre"));
        assert_eq!(network_name(nix::sys::statfs::EXT4_SUPER_MAGIC), None);
        assert_eq!(network_name(nix::sys::statfs::TMPFS_MAGIC), None);
    }

    #[tokio::test]
    async fn another_programs_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("create table t (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "these bytes are no database, however long they may be read").unwrap();
        assert!(matches!(open(&path), Err(OpenError::Foreign { .. })));
    }

    #[tokio::test]
    async fn a_database_that_breaks_off_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        let (writer, readers) = open(&path).unwrap();
        drop((writer, readers));
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
        let refused = open(&path);
        let is_damaged =
            |error: &OpenError| matches!(error, OpenError::Database { source: StoreError::Damaged { .. }, .. });
        assert!(refused.as_ref().is_err_and(is_damaged), "{:?}", refused.err());
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        open(&path).unwrap().0.execute_batch("pragma user_version = 99").unwrap();
        assert!(matches!(open(&path), Err(OpenError::NewerSchema { found: 99, .. })));
    }

    /// A database of version 11 with a running job, an ended one that is gone, and what refers to them.
    const BEFORE_CONTROL: &str = "
        insert into submission values (1, 'request-1', printf('%064d', 0), 'p', '0', 'h', 1);
        insert into worker values (1, 'boot', 'node', '0', 1, 1, 1);
        insert into job (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total,
            max_retries, crash_limit, state, created_at, content_key)
        values (1, 1, 0, 'a', 'train', 'd', '{}', 'any', 3, 2, 1, 5, 'queued', 1, printf('%064d', 7)),
            (7, 1, 1, 'b', 'train', 'd', '{}', 'any', 0, 2, 1, 5, 'queued', 1, null);
        delete from job where job_id = 7;
        insert into attempt (attempt_id, job_id, number, worker_id, device, lease_request, started_at)
        values (4, 1, 1, 1, 'cpu', 'lease-1', 1);
        update job set state = 'running', stop = 'cancel', attempt_id = 4 where job_id = 1;
        insert into event (at, kind, job_id, attempt_id, data) values (1, 'job.state', 1, 4, '{}');";

    #[tokio::test]
    async fn tables_that_are_made_anew_keep_their_rows_their_counters_and_what_refers_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        let before = writing(&path).unwrap();
        schema::upgrade(&before, 11).unwrap();
        before.execute_batch(BEFORE_CONTROL).unwrap();
        drop(before);
        let (writer, _readers) = open(&path).unwrap();
        let row: (String, i64, i64, String, i64, Option<i64>) =
            sql::query_as("select name, priority, attempt_id, stop, held, retry_of from job where job_id = 1")
                .fetch_one(&writer)
                .unwrap();
        assert_eq!(row, ("a".into(), 3, 4, "cancel".into(), 0, None));
        let counters: Vec<i64> =
            sql::query_scalar("select seq from sqlite_sequence where name in ('attempt', 'job') order by name")
                .fetch_all(&writer)
                .unwrap();
        assert_eq!(counters, [4, 7], "no id is given out twice");
        let dangling = sql::query("pragma foreign_key_check").fetch_all(&writer).unwrap();
        assert!(dangling.is_empty());
        let refused = sql::query("insert into event (at, kind, job_id, data) values (1, 'x', 99, '{}')");
        assert!(refused.execute(&writer).is_err(), "foreign keys are on");
    }

    #[tokio::test]
    async fn the_writing_connection_is_durable_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, readers) = open(&folder.path().join("rrm.db")).unwrap();
        let text = |sql: &'static str| sql::query_scalar::<String>(sql);
        let number = |sql: &'static str| sql::query_scalar::<i64>(sql);
        assert_eq!(text("pragma journal_mode").fetch_one(&writer).unwrap(), "wal");
        assert_eq!(number("pragma synchronous").fetch_one(&writer).unwrap(), 2);
        assert_eq!(number("pragma foreign_keys").fetch_one(&writer).unwrap(), 1);
        assert_eq!(number("pragma trusted_schema").fetch_one(&writer).unwrap(), 0);
        assert_eq!(number("pragma user_version").fetch_one(&readers).await.unwrap(), schema::VERSION);
        let refused = readers.run(|reader| sql::query("delete from event").execute(reader)).await;
        assert!(refused.is_err());
    }
}
