//! The database as it lies on disk, without the daemon between.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The first column of a query's rows, which must be texts.
#[track_caller]
pub(crate) fn column(database: &Path, query: &str) -> Vec<String> {
    let ask = || {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = connection.prepare(query)?;
        query.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()
    };
    ask().unwrap_or_else(|e| panic!("{query}: {e}"))
}
