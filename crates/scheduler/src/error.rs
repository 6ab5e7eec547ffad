//! Why the daemon does not start, and what the store's refusals are called in an answer.

use std::path::PathBuf;

use rrm_api::{ApiError, TokenError};
use rrm_store::{OpenError, StoreError};

/// Why the daemon does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory is in use.
    #[error("another rrmd runs on {}: stop it, or choose another --state-dir", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// A folder or file cannot be made or read.
    #[error("{} cannot be used (make room and give this user access, or choose another --state-dir)", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Certificate and key cannot be used.
    #[error("encryption cannot be turned on: {why}")]
    Tls {
        /// What is wrong with them.
        why: String,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A token file cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen} (choose another address with --listen)")]
    Listen {
        /// Which.
        listen: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The pages' address cannot be listened on.
    #[error("cannot listen on {listen} for the pages (choose another address with --http, or none with --http '')")]
    Http {
        /// Which.
        listen: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A task has ended without which the daemon cannot go on.
    #[error("{task} has failed, see the log above: nothing that was acknowledged is lost, start rrmd again")]
    Fallen {
        /// Which.
        task: &'static str,
    },
    /// Answering calls failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A refusal of the store as a caller sees it.
pub(crate) fn answer(error: StoreError) -> ApiError {
    match error {
        StoreError::Invalid(violations) => ApiError::Invalid(violations),
        StoreError::NotFound { what } => ApiError::NotFound { what },
        StoreError::Conflict { what } => ApiError::Conflict { what },
        StoreError::Forbidden { what } => ApiError::NotOwner { what },
        StoreError::LeaseLost { .. } => ApiError::LeaseLost,
        StoreError::Precondition { what } => ApiError::Precondition { what },
        StoreError::Limit { what } => ApiError::Exhausted { what },
        full @ StoreError::Exhausted { .. } => ApiError::Exhausted { what: full.to_string() },
        away @ (StoreError::Unavailable { .. } | StoreError::Closed) => {
            ApiError::Unavailable { what: away.to_string() }
        }
        fault @ (StoreError::Damaged { .. } | StoreError::Internal { .. }) => {
            ApiError::Internal { what: fault.to_string() }
        }
    }
}

/// An error of the disk below artifacts and logs.
pub(crate) fn disk(what: &str, error: &std::io::Error) -> ApiError {
    let what = format!("{what}: {error}");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ApiError::Exhausted { what },
        _ => ApiError::Unavailable { what },
    }
}

pub(crate) fn stopping() -> ApiError {
    ApiError::Unavailable { what: "the daemon is stopping".to_owned() }
}
