//! What all attempts of a worker share.

use std::path::PathBuf;

use rrm_api::Client;

use crate::{cache::Cache, config::Config};

/// The means of running attempts.
pub(crate) struct Workshop {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) cache: Cache,
    /// The trainer's program: this one, but for tests.
    pub(crate) program: PathBuf,
}
