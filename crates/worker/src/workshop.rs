//! What all attempts of a worker share.

use std::path::PathBuf;

use rrm_api::Client;
use rrm_spec::DeviceInfo;

use crate::{cache::Cache, config::Config};

/// The means of running attempts.
pub(crate) struct Workshop {
    pub(crate) config: Config,
    /// The configured devices, as they are told to the daemon.
    pub(crate) devices: Vec<DeviceInfo>,
    pub(crate) client: Client,
    pub(crate) cache: Cache,
    /// The trainer's program: this one, but for tests.
    pub(crate) program: PathBuf,
}
