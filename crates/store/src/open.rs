//! Opens the database file, or says why that would be unsafe.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{FsType, statfs};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{OpenError, backup, schema};

/// The first version without the WAL-reset corruption: two connections that commit and checkpoint at the same instant.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Readers at once. They are dashboards' and users' queries of milliseconds; the writer does not wait for them.
const READERS: u32 = 4;

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
pub(crate) async fn open(path: &Path) -> Result<(SqliteConnection, SqlitePool), OpenError> {
    refuse_old_sqlite(library_version())?;
    refuse_network(path)?;
    let failed = |error| unusable(path, error);
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        let found = schema_of(path, common(path)).await?;
        if (1..schema::VERSION).contains(&found) {
            let kept = backup::keep_before_upgrade(path, found).await;
            let kept = kept.map_err(|source| OpenError::NotKept { path: path.to_owned(), source: source.into() })?;
            tracing::info!(schema = found, kept = %kept.display(), "the database is upgraded, a copy of it is kept");
        }
    }
    let mut writer = writing(path).connect().await.map_err(failed)?;
    migrate(&mut writer, path).await?;
    let readers =
        SqlitePoolOptions::new().max_connections(READERS).connect_with(reading(path)).await.map_err(failed)?;
    Ok((writer, readers))
}

/// The connection that the writer opens, and opens again after an error of the disk.
pub(crate) fn writing(path: &Path) -> SqliteConnectOptions {
    common(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL would lose acknowledged commits with the power.
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "1000")
        .pragma("journal_size_limit", "67108864")
}

fn reading(path: &Path) -> SqliteConnectOptions {
    common(path).pragma("query_only", "on")
}

/// Changes nothing, whoever writes meanwhile.
pub(crate) fn looking(path: &Path) -> SqliteConnectOptions {
    common(path).read_only(true)
}

fn common(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        // A database file from elsewhere cannot make us call functions with side effects from its schema.
        .pragma("trusted_schema", "off")
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

fn library_version() -> i32 {
    // SAFETY: a function without arguments that returns a constant of the library.
    unsafe { libsqlite3_sys::sqlite3_libversion_number() }
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

fn unusable(path: &Path, error: sqlx::Error) -> OpenError {
    OpenError::Database { path: path.to_owned(), source: error.into() }
}

/// SQLite's code for a file that does not even begin like a database. One that only breaks off may be ours, and damaged.
const NOT_A_DATABASE: &str = "26";

/// The schema's version, 0 where there is none yet. Looks before the writing connection could change anything in a file that
/// is not ours.
pub(crate) async fn schema_of(path: &Path, options: SqliteConnectOptions) -> Result<i64, OpenError> {
    let failed = |error| unusable(path, error);
    let foreign = |error: sqlx::Error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
        Some(NOT_A_DATABASE) => OpenError::Foreign { path: path.to_owned() },
        _ => unusable(path, error),
    };
    let mut connection = options.connect().await.map_err(foreign)?;
    let application: i64 =
        sqlx::query_scalar("pragma application_id").fetch_one(&mut connection).await.map_err(foreign)?;
    let version: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut connection).await.map_err(foreign)?;
    let others = "select count(*) from sqlite_schema where tbl_name <> '_sqlx_migrations'";
    let others: i64 = sqlx::query_scalar(others).fetch_one(&mut connection).await.map_err(foreign)?;
    connection.close().await.map_err(failed)?;
    match (application, version) {
        // A start that was cut off before its first commit.
        (0, 0) if others == 0 => Ok(0),
        (schema::APPLICATION_ID, found) if found > schema::VERSION => {
            Err(OpenError::NewerSchema { path: path.to_owned(), found, known: schema::VERSION })
        }
        (schema::APPLICATION_ID, found) => Ok(found),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

async fn migrate(writer: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Migration { path: path.to_owned(), source };
    migrate_to(schema::VERSION, writer).await.map_err(failed)?;
    let sql = sqlx::AssertSqlSafe(format!("pragma user_version = {}", schema::VERSION));
    let written = sqlx::raw_sql(sql).execute(writer).await;
    written.map(drop).map_err(|error| unusable(path, error))
}

/// Foreign keys are off for the later migrations, as SQLite's own recipe for making a table anew has it; one that does so checks in
/// its transaction that no reference dangles. The earlier ones rely on them: a renamed table's references follow it.
pub(crate) async fn migrate_to(version: i64, writer: &mut SqliteConnection) -> Result<(), MigrateError> {
    schema::up_to(version.min(schema::LAST_WITH_FOREIGN_KEYS)).run(&mut *writer).await?;
    sqlx::query("pragma foreign_keys = off").execute(&mut *writer).await?;
    let upgraded = schema::up_to(version).run(&mut *writer).await;
    sqlx::query("pragma foreign_keys = on").execute(&mut *writer).await?;
    upgraded
}

/// How SQLite would carry out a query, one step a line; values stay unbound.
#[cfg(test)]
pub(crate) async fn plan_of(readers: &SqlitePool, sql: &str) -> String {
    let sql = sqlx::AssertSqlSafe(format!("explain query plan {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(readers).await.unwrap();
    steps.into_iter().map(|(_, _, _, step)| step + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut other = common(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::query("create table t (x)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path).await, Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "these bytes are no database, however long they may be read").unwrap();
        assert!(matches!(open(&path).await, Err(OpenError::Foreign { .. })));
    }

    #[tokio::test]
    async fn a_database_that_breaks_off_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        let (writer, readers) = open(&path).await.unwrap();
        readers.close().await;
        writer.close().await.unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
        let refused = open(&path).await;
        let is_damaged =
            |error: &OpenError| matches!(error, OpenError::Database { source: crate::StoreError::Damaged { .. }, .. });
        assert!(refused.as_ref().is_err_and(is_damaged), "{:?}", refused.err());
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        let (mut writer, readers) = open(&path).await.unwrap();
        sqlx::query("pragma user_version = 99").execute(&mut writer).await.unwrap();
        writer.close().await.unwrap();
        readers.close().await;
        assert!(matches!(open(&path).await, Err(OpenError::NewerSchema { found: 99, .. })));
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
        let mut before = writing(&path).connect().await.unwrap();
        schema::up_to(11).run(&mut before).await.unwrap();
        sqlx::raw_sql(BEFORE_CONTROL).execute(&mut before).await.unwrap();
        before.close().await.unwrap();
        let (mut writer, _readers) = open(&path).await.unwrap();
        let row: (String, i64, i64, String, i64, Option<i64>) =
            sqlx::query_as("select name, priority, attempt_id, stop, held, retry_of from job where job_id = 1")
                .fetch_one(&mut writer)
                .await
                .unwrap();
        assert_eq!(row, ("a".into(), 3, 4, "cancel".into(), 0, None));
        let counters: Vec<i64> =
            sqlx::query_scalar("select seq from sqlite_sequence where name in ('attempt', 'job') order by name")
                .fetch_all(&mut writer)
                .await
                .unwrap();
        assert_eq!(counters, [4, 7], "no id is given out twice");
        let dangling = sqlx::query("pragma foreign_key_check").fetch_all(&mut writer).await.unwrap();
        assert!(dangling.is_empty());
        let refused = sqlx::query("insert into event (at, kind, job_id, data) values (1, 'x', 99, '{}')");
        assert!(refused.execute(&mut writer).await.is_err(), "foreign keys are on");
    }

    #[tokio::test]
    async fn the_writing_connection_is_durable_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, readers) = open(&folder.path().join("rrm.db")).await.unwrap();
        let text = |sql: &'static str| sqlx::query_scalar::<_, String>(sql);
        let number = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql);
        assert_eq!(text("pragma journal_mode").fetch_one(&mut writer).await.unwrap(), "wal");
        assert_eq!(number("pragma synchronous").fetch_one(&mut writer).await.unwrap(), 2);
        assert_eq!(number("pragma foreign_keys").fetch_one(&mut writer).await.unwrap(), 1);
        assert_eq!(number("pragma trusted_schema").fetch_one(&mut writer).await.unwrap(), 0);
        assert_eq!(number("pragma user_version").fetch_one(&readers).await.unwrap(), schema::VERSION);
        assert!(sqlx::query("delete from event").execute(&readers).await.is_err());
    }
}
