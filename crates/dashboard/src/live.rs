//! What the daemon knows beside the database.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use prometheus::proto::MetricFamily;
use rrm_spec::{AttemptId, JobId, Progress, WorkerId};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// An answer, later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// Where `bytes` begin.
    pub offset: u64,
    /// The last bytes of the log.
    pub bytes: Bytes,
}

/// The daemon's memory, as the pages need it.
pub trait Live: Send + Sync + 'static {
    /// Where a running job stands.
    fn progress(&self, job: JobId) -> Option<Progress>;

    /// When a worker was last heard, in microseconds since the Unix epoch; `None` where it is not connected.
    fn last_seen(&self, worker: WorkerId) -> Option<i64>;

    /// The end of an attempt's log, at most `most` bytes; empty where there is none.
    fn log_tail(&self, attempt: AttemptId, most: u64) -> Later<'_, io::Result<LogTail>>;

    /// A piece of an attempt's log from `offset` on; empty at its end.
    fn log(&self, attempt: AttemptId, offset: u64) -> Later<'_, io::Result<Bytes>>;

    /// Hears of each progress report.
    fn watch_progress(&self) -> broadcast::Receiver<(JobId, Progress)>;

    /// Changes whenever some log has grown.
    fn watch_logs(&self) -> watch::Receiver<u64>;

    /// What the daemon counts by itself: calls, leases, heartbeats, its uptime.
    fn measures(&self) -> Vec<MetricFamily>;

    /// Cancelled when the daemon begins to stop.
    fn stopping(&self) -> CancellationToken;
}
