//! Questions to the database beside the daemon, which never learns of them.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The first column of a query, whole numbers; nothing where the file cannot be read just now, as while a daemon starts.
pub(crate) fn numbers(database: &Path, query: &str, parameter: i64) -> Vec<i64> {
    let ask = || {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = connection.prepare(query)?;
        query.query_map([parameter], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
    };
    ask().unwrap_or_default()
}

/// Jobs that have not ended and were submitted under such a plan name.
pub(crate) fn unfinished(database: &Path) -> Option<i64> {
    let query = "select count(*) from job where state in ('waiting', 'queued', 'running') and ?1 = 0";
    numbers(database, query, 0).first().copied()
}

/// Jobs that have not ended, on a processor (1) or a CUDA device (0).
pub(crate) fn unfinished_on(database: &Path, processor: bool) -> Option<i64> {
    let query =
        "select count(*) from job where state in ('waiting', 'queued', 'running') and (device_request = 'cpu') = ?1";
    numbers(database, query, i64::from(processor)).first().copied()
}

/// Whether the attempt has ended.
pub(crate) fn has_ended(database: &Path, attempt: i64) -> bool {
    let query = "select count(*) from attempt where attempt_id = ?1 and ended_at is not null";
    numbers(database, query, attempt) == [1]
}
