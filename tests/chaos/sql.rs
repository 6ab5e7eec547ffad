//! Questions to the database beside the daemon, which never learns of them.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

/// The first column of a query, whole numbers; nothing where the file cannot be read just now, as while a daemon starts.
pub(crate) async fn numbers(database: &Path, query: &'static str, parameter: i64) -> Vec<i64> {
    let ask = async {
        let mut connection = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
        let rows = sqlx::query_scalar::<_, i64>(query).bind(parameter).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(rows)
    };
    ask.await.unwrap_or_default()
}

/// Jobs that have not ended and were submitted under such a plan name.
pub(crate) async fn unfinished(database: &Path) -> Option<i64> {
    let query = "select count(*) from job where state in ('waiting', 'queued', 'running') and ?1 = 0";
    numbers(database, query, 0).await.first().copied()
}

/// Jobs that have not ended, on a processor (1) or a CUDA device (0).
pub(crate) async fn unfinished_on(database: &Path, processor: bool) -> Option<i64> {
    let query =
        "select count(*) from job where state in ('waiting', 'queued', 'running') and (device_request = 'cpu') = ?1";
    numbers(database, query, i64::from(processor)).await.first().copied()
}

/// Whether the attempt has ended.
pub(crate) async fn has_ended(database: &Path, attempt: i64) -> bool {
    let query = "select count(*) from attempt where attempt_id = ?1 and ended_at is not null";
    numbers(database, query, attempt).await == [1]
}
