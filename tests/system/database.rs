//! The database as it lies on disk, without the daemon between.

use std::path::Path;

use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tokio::runtime::Runtime;

/// The first column of a query's rows, which must be texts.
#[track_caller]
pub(crate) fn column(database: &Path, query: &'static str) -> Vec<String> {
    let runtime = Runtime::new().expect("a runtime can be had");
    let rows = runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
        sqlx::query_scalar(query).fetch_all(&mut connection).await
    });
    rows.unwrap_or_else(|e: sqlx::Error| panic!("{query}: {e}"))
}
