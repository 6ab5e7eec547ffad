//! What the daemon's calls share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rrm_api::VERSION;
use rrm_spec::{JobId, Progress};
use rrm_store::{OpenJobs, Store};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::access::Grants;
use crate::artifacts::Artifacts;
use crate::logs::Logs;
use crate::meters::Meters;
use crate::{Clock, Leases, StartError, StateDir, Terms};

/// Progress reports that a slow watcher may be behind; it misses older ones, which newer ones replace anyway.
const PROGRESS_BACKLOG: usize = 1024;

/// Open jobs beyond these are refused, unless the daemon is told otherwise. A database of a million open jobs was measured; a
/// hundred thousand are ten of the largest plans.
pub(crate) const DEFAULT_OPEN_JOBS: OpenJobs = OpenJobs { most: 1_000_000, most_per_user: 100_000 };

/// The daemon's state: the database, and what is known beside it in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub(crate) store: Store,
    pub(crate) artifacts: Arc<Artifacts>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) progress: broadcast::Sender<(JobId, Progress)>,
    pub(crate) stopping: CancellationToken,
    pub(crate) terms: Terms,
    pub(crate) retry_backoff: Duration,
    pub(crate) keep: Duration,
    clock: Clock,
    pub(crate) grants: Grants,
    pub(crate) open_jobs: OpenJobs,
    /// For its disk.
    pub(crate) folder: PathBuf,
    leases: Arc<Mutex<Leases>>,
}

impl Daemon {
    /// Opens everything in the state directory; see [`Config`](crate::Config) for the durations. Running jobs and workers that
    /// were online get a fresh term from now on.
    ///
    /// # Errors
    /// [`StartError`] where database or folders cannot be used.
    pub async fn open(
        state: &StateDir,
        terms: Terms,
        retry_backoff: Duration,
        keep: Duration,
    ) -> Result<Self, StartError> {
        Self::open_by(Clock::system(), state, terms, retry_backoff, keep).await
    }

    /// The same, with another clock than the system's.
    ///
    /// # Errors
    /// See [`Daemon::open`].
    pub async fn open_by(
        clock: Clock,
        state: &StateDir,
        terms: Terms,
        retry_backoff: Duration,
        keep: Duration,
    ) -> Result<Self, StartError> {
        let store = Store::open(&state.database()).await?;
        let failed = |source| StartError::Folder { path: state.artifacts(), source };
        let artifacts = Artifacts::open(state.artifacts()).await.map_err(failed)?;
        let lost = artifacts.sweep(store.artifacts().await?).await.map_err(failed)?;
        artifacts.lose(&store, clock.wall_us(), lost).await?;
        let grants = Grants::read(&store).await?;
        let daemon = Self {
            store,
            artifacts: Arc::new(artifacts),
            logs: Arc::new(Logs::new(state.logs())),
            meters: Arc::new(Meters::new(VERSION)),
            progress: broadcast::Sender::new(PROGRESS_BACKLOG),
            stopping: CancellationToken::new(),
            terms,
            retry_backoff,
            keep,
            clock,
            grants,
            open_jobs: DEFAULT_OPEN_JOBS,
            folder: state.artifacts(),
            leases: Arc::new(Mutex::new(Leases::new(terms))),
        };
        daemon.remember().await?;
        Ok(daemon)
    }

    /// The same, with other limits on open jobs than the default ones.
    #[must_use]
    pub fn with_limits(self, open_jobs: OpenJobs) -> Self {
        Self { open_jobs, ..self }
    }

    /// Nobody is taken for lost on account of the daemon's own absence.
    async fn remember(&self) -> Result<(), StartError> {
        let now = self.now();
        for (worker, last_seen_at) in self.store.workers_online().await? {
            self.leases().greet(now, last_seen_at, worker);
        }
        for running in self.store.running().await? {
            self.leases().hold(now, &running);
        }
        Ok(())
    }

    /// Begins to stop: streams and long polls end, and their callers come back to the next daemon.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Writes out what is under way and closes the database.
    pub async fn close(&self) {
        self.stop();
        self.store.close().await;
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().expect("nothing panics while it holds the leases")
    }

    /// Monotonic time, by which leases are judged.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Wall time in microseconds since the Unix epoch: for display, never to decide about a lease.
    pub(crate) fn wall_us(&self) -> i64 {
        self.clock.wall_us()
    }

    /// By what a pause before another try is multiplied.
    pub(crate) fn jitter(&self) -> f64 {
        self.clock.jitter()
    }
}
