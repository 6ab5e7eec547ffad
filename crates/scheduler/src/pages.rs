//! What the pages learn of the daemon's memory and files.

use std::io;

use bytes::Bytes;
use prometheus::proto::MetricFamily;
use rrm_dashboard::{Later, Live, LogTail};
use rrm_spec::{AttemptId, JobId, Progress, WorkerId};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::Daemon;

impl Live for Daemon {
    fn progress(&self, job: JobId) -> Option<Progress> {
        self.leases().progress(job)
    }

    fn last_seen(&self, worker: WorkerId) -> Option<i64> {
        self.leases().last_seen(worker)
    }

    fn log_tail(&self, attempt: AttemptId, most: u64) -> Later<'_, io::Result<LogTail>> {
        Box::pin(async move {
            let offset = self.logs.length(attempt).await?.saturating_sub(most);
            let bytes = self.logs.read(attempt, offset).await?;
            Ok(LogTail { offset, bytes })
        })
    }

    fn log(&self, attempt: AttemptId, offset: u64) -> Later<'_, io::Result<Bytes>> {
        Box::pin(self.logs.read(attempt, offset))
    }

    fn watch_progress(&self) -> broadcast::Receiver<(JobId, Progress)> {
        self.progress.subscribe()
    }

    fn watch_logs(&self) -> watch::Receiver<u64> {
        self.logs.watch()
    }

    fn measures(&self) -> Vec<MetricFamily> {
        let held = self.leases().held();
        self.meters.collect(held)
    }

    fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }
}
