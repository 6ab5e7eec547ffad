//! What happens by itself: silent workers are given up, superseded and old files deleted.

use std::time::{Duration, Instant};

use rrm_api::{ApiError, Caller};
use rrm_store::{CollectArtifacts, Depart, Departure, Expire};
use tokio::time::{MissedTickBehavior, interval};

use crate::Daemon;
use crate::access::by;
use crate::error::{answer, disk};

/// How often superseded checkpoints are deleted: each may be as large as the networks are.
const COLLECTION: Duration = Duration::from_secs(20);

/// How often logs are looked through: they go by days.
const LOG_COLLECTION: Duration = Duration::from_secs(3600);

/// A superseded file that was offered so lately may be about to be referred to again.
const SUPERSEDED_GRACE_US: i64 = 30_000_000;

/// Between a file and the record that refers to it may lie an absence of the daemon.
const UNKNOWN_GRACE_US: i64 = 24 * 3_600_000_000;

impl Daemon {
    /// Sweeps until the daemon stops. What fails, on a full disk for instance, is tried again the next time.
    pub(crate) async fn sweep(self) {
        let mut leases = interval(self.terms.tick());
        let mut files = interval(COLLECTION);
        let mut logs = interval(LOG_COLLECTION);
        leases.set_missed_tick_behavior(MissedTickBehavior::Delay);
        files.set_missed_tick_behavior(MissedTickBehavior::Delay);
        logs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let swept = tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = leases.tick() => self.expire(self.now()).await,
                _ = files.tick() => self.collect(self.wall_us()).await,
                _ = logs.tick() => self.collect_logs(self.wall_us()).await,
            };
            if let Err(error) = swept {
                tracing::error!(%error, "sweeping failed");
            }
        }
    }

    /// Takes away what silent workers hold.
    ///
    /// The database is asked first: an attempt whose caller went away between its commit and its reply is only known there.
    ///
    /// # Errors
    /// Where the database fails; nothing is taken away then.
    pub async fn expire(&self, now: Instant) -> Result<(), ApiError> {
        for running in self.store.running().await.map_err(answer)? {
            self.leases().hold(now, &running);
        }
        let (attempts, workers) = {
            let leases = self.leases();
            (leases.overdue(now), leases.silent(now))
        };
        self.expire_attempts(attempts).await?;
        self.dismiss(workers, Departure::Silence, None).await
    }

    async fn expire_attempts(&self, attempts: Vec<rrm_spec::AttemptId>) -> Result<(), ApiError> {
        if attempts.is_empty() {
            return Ok(());
        }
        for attempt in self.store.write(self.wall_us(), Expire { attempts: attempts.clone() }).await.map_err(answer)? {
            tracing::warn!(%attempt, "the lease has run out");
        }
        // Those that were not lost just now have ended otherwise.
        attempts.into_iter().for_each(|attempt| self.leases().release(attempt));
        Ok(())
    }

    /// Workers leave, by a call or by themselves, and what they hold is given up.
    pub(crate) async fn dismiss(
        &self,
        workers: Vec<rrm_spec::WorkerId>,
        how: Departure,
        caller: Option<Caller>,
    ) -> Result<(), ApiError> {
        if workers.is_empty() {
            return Ok(());
        }
        let depart = Depart { workers: workers.clone(), how };
        match caller {
            Some(caller) => self.store.write(self.wall_us(), by(caller, depart)).await,
            None => self.store.write(self.wall_us(), depart).await,
        }
        .map_err(answer)?;
        for worker in workers {
            tracing::info!(%worker, why = how.why(), "the worker has left");
            self.leases().dismiss(worker);
        }
        Ok(())
    }

    /// Deletes superseded and old checkpoints and files that nothing refers to; `now` is wall time in microseconds.
    ///
    /// # Errors
    /// Where the database fails; nothing is deleted then.
    pub async fn collect(&self, now: i64) -> Result<(), ApiError> {
        let which = CollectArtifacts {
            superseded_before: now - SUPERSEDED_GRACE_US,
            ended_before: self.kept_since(now),
            unknown_before: now - UNKNOWN_GRACE_US,
        };
        self.artifacts.collect(&self.store, now, which).await
    }

    /// Deletes logs whose job ended long ago; `now` is wall time in microseconds.
    ///
    /// # Errors
    /// Where the database or the folder cannot be read; nothing is deleted then.
    pub async fn collect_logs(&self, now: i64) -> Result<(), ApiError> {
        let logged = self.logs.attempts().await.map_err(|error| disk("the logs cannot be listed", &error))?;
        for attempt in self.store.ended_before(self.kept_since(now), &logged).await.map_err(answer)? {
            if let Err(error) = self.logs.delete(attempt).await {
                tracing::warn!(%attempt, %error, "an old log cannot be deleted");
            }
        }
        Ok(())
    }

    fn kept_since(&self, now: i64) -> i64 {
        now.saturating_sub(i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX))
    }
}
