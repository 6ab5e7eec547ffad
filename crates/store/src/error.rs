//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;

use rrm_spec::{AttemptId, Violations};

use crate::BackupError;

/// Why a request was not carried out. In every case nothing of it is stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The request is faulty.
    #[error("{0}")]
    Invalid(Violations),
    /// What was asked for does not exist.
    #[error("{what} does not exist")]
    NotFound {
        /// Such as `job 12`.
        what: String,
    },
    /// The request contradicts what is stored.
    #[error("{what}")]
    Conflict {
        /// What contradicts what.
        what: String,
    },
    /// The attempt is not its job's current one: nothing that it says may be stored.
    #[error("attempt {attempt} has lost its lease")]
    LeaseLost {
        /// Which.
        attempt: AttemptId,
    },
    /// The caller may not do this to what is somebody else's.
    #[error("{what}")]
    Forbidden {
        /// What is whose, and who may do it.
        what: String,
    },
    /// The state does not allow the request.
    #[error("{what}")]
    Precondition {
        /// The state, and what it would have to be.
        what: String,
    },
    /// More than is allowed.
    #[error("{what}")]
    Limit {
        /// Which limit, how much is in use, and how much may be.
        what: String,
    },
    /// The disk is full.
    #[error("the database cannot grow, make room on its disk: {what}")]
    Exhausted {
        /// SQLite's words.
        what: String,
    },
    /// The disk, the file or a lock on it failed; the same request may succeed later.
    #[error("the database cannot be reached: {what}")]
    Unavailable {
        /// SQLite's words.
        what: String,
    },
    /// The file holds something that no commit has written.
    #[error(
        "the database is damaged: {what}; stop rrmd, put its state directory aside, and put back a copy of rrm.db or what \
         `sqlite3 rrm.db .recover` saves of it"
    )]
    Damaged {
        /// SQLite's words.
        what: String,
    },
    /// The store has been closed.
    #[error("the database is closed")]
    Closed,
    /// What is stored cannot be read, or a statement is wrong: our own fault.
    #[error("the database gave an unexpected answer: {what}")]
    Internal {
        /// What was unexpected.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn not_found(what: impl ToString) -> Self {
        Self::NotFound { what: what.to_string() }
    }

    pub(crate) fn conflict(what: impl ToString) -> Self {
        Self::Conflict { what: what.to_string() }
    }

    pub(crate) fn internal(what: impl ToString) -> Self {
        Self::Internal { what: what.to_string() }
    }

    /// Whether the transaction cannot go on: SQLite may have rolled all of it back, or is not to be trusted with it.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::Unavailable { .. } | Self::Damaged { .. })
    }
}

// https://www.sqlite.org/rescode.html: the lowest byte is the primary code.
const BUSY: i32 = 5;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let what = error.to_string();
        match error.sqlite_error() {
            Some(code) => of_code(code.extended_code, what),
            None => Self::Internal { what },
        }
    }
}

fn of_code(code: i32, what: String) -> StoreError {
    match code & 0xff {
        FULL => StoreError::Exhausted { what },
        CORRUPT | NOTADB => StoreError::Damaged { what },
        BUSY | NOMEM | READONLY | IOERR | CANTOPEN => StoreError::Unavailable { what },
        _ => StoreError::Internal { what },
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<Violations> for StoreError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its SQLite can corrupt a write-ahead log (fixed in 3.51.3).
    #[error("this build has SQLite {found}, which can corrupt a database: 3.51.3 or later is needed")]
    OldSqlite {
        /// The library's version.
        found: String,
    },
    /// A write-ahead log needs memory shared between processes, which no network file system has.
    #[error("{} lies on a network file system ({kind}): move the state directory to a local disk", path.display())]
    NetworkFileSystem {
        /// Where.
        path: PathBuf,
        /// Which.
        kind: &'static str,
    },
    /// Some other program's database.
    #[error("{} is not a database of rrm: choose another --state-dir, or put back a copy of the database", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// A later version of this software has upgraded it.
    #[error("{} has schema {found}, this version knows schemas up to {known}: upgrade rrmd", path.display())]
    NewerSchema {
        /// Where.
        path: PathBuf,
        /// The database's schema.
        found: i64,
        /// The last one that is known here.
        known: i64,
    },
    /// It is not upgraded where no copy of it can be kept before.
    #[error("{} is not upgraded, since no copy of it can be kept before: make room for one", path.display())]
    NotKept {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Box<BackupError>,
    },
    /// The schema could not be made or upgraded.
    #[error("{}: the schema cannot be upgraded", path.display())]
    Migration {
        /// Where.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The folder cannot be looked at.
    #[error("the folder {} cannot be looked at", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}
