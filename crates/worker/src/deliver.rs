//! Handing an attempt over to the daemon: records and checkpoints in order, the log, then the end.

use std::{future::Future, path::Path, time::Duration};

use rrm_api::{ApiError, AttemptEnd, Client};
use rrm_spec::{AttemptId, AttemptOutcome, CheckpointRecord, CheckpointRole, Record};
use tokio::sync::watch;

use crate::{
    logs::{self, Extent},
    outcome::end_by,
    spool::{Folders, unpin},
};

/// Records that are sent at once; an evaluation's many images make a large one.
const BATCH: usize = 16;

/// Pause between calls that cannot succeed for now: the daemon is away, its disk is full, its version differs.
pub(crate) const PAUSE: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(3) };

/// So many internal errors of the daemon in a row are taken for a refusal.
const INTERNAL_ERRORS: u32 = 20;

/// So many times an attempt's end is refused because something is missing that was sent.
const CONFLICTS: u32 = 5;

/// An attempt's records and end, as far as they exist; all are on disk.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) records: Vec<Record>,
    pub(crate) end: Option<AttemptEnd>,
}

fn final_checkpoints(records: &[Record]) -> Vec<Record> {
    let is_final = |record: &&Record| matches!(record, Record::Checkpoint(it) if it.role == CheckpointRole::Final);
    records.iter().filter(is_final).cloned().collect()
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The daemon has everything.
    Settled,
    /// The attempt is no longer this worker's.
    LeaseLost,
    /// The daemon refuses what this worker has to say.
    Refused(ApiError),
}

/// Repeats a call until it is answered, for days if need be: results are worth waiting for.
///
/// # Errors
/// What waiting does not cure.
pub(crate) async fn insist<T, F>(what: &str, attempt: AttemptId, call: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let mut internal = 0;
    loop {
        let error = match call().await {
            Err(error) => error,
            done => return done,
        };
        match error {
            ApiError::Internal { .. } if internal < INTERNAL_ERRORS => internal += 1,
            ref error if waiting_cures(error) => {}
            error => return Err(error),
        }
        tracing::warn!(%attempt, %error, "cannot {what} now; trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the same call may succeed later.
pub(crate) fn waiting_cures(error: &ApiError) -> bool {
    match error {
        ApiError::Unavailable { .. } | ApiError::Exhausted { .. } => true,
        // Cured by whoever runs the daemon.
        ApiError::Unauthenticated | ApiError::PermissionDenied { .. } | ApiError::Version { .. } => true,
        ApiError::Internal { .. }
        | ApiError::Invalid(_)
        | ApiError::NotFound { .. }
        | ApiError::TooLarge { .. }
        | ApiError::Conflict { .. }
        | ApiError::LeaseLost
        | ApiError::NotOwner { .. }
        | ApiError::Precondition { .. } => false,
    }
}

/// What is delivered, and to whom.
pub(crate) struct Courier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) folders: &'a Folders,
}

impl Courier<'_> {
    /// Delivers an attempt as it happens, until it has ended and the daemon has all of it.
    pub(crate) async fn deliver(&self, mut outbox: watch::Receiver<Outbox>, log: watch::Receiver<Extent>) -> Delivery {
        match self.try_deliver(&mut outbox, log).await {
            Ok(()) => Delivery::Settled,
            // The daemon knows nothing of the attempt, or has ended it otherwise.
            Err(ApiError::LeaseLost | ApiError::NotFound { .. }) => Delivery::LeaseLost,
            Err(error) => Delivery::Refused(error),
        }
    }

    async fn try_deliver(
        &self,
        outbox: &mut watch::Receiver<Outbox>,
        log: watch::Receiver<Extent>,
    ) -> Result<(), ApiError> {
        let attempt = self.folders.attempt();
        let path = self.folders.log();
        // A refusal of either ends both.
        let (mut durable, ()) =
            tokio::try_join!(self.deliver_records(outbox), logs::push(self.client, attempt, &path, log))?;
        let end = outbox.borrow().end.clone().expect("all records are delivered only after the end");
        for _ in 0..CONFLICTS {
            let settled = insist("report its end", attempt, || self.client.settle(attempt, durable, end.clone())).await;
            let what = match settled {
                Err(ApiError::Conflict { what }) => what,
                other => return other,
            };
            // It lost something that it had: it was restored from a backup, perhaps.
            tracing::warn!(%attempt, what, "the daemon misses something");
            tokio::time::sleep(PAUSE).await;
            let finals = final_checkpoints(&outbox.borrow().records);
            self.upload_checkpoints(&finals).await?;
            durable = self.deliver_records(outbox).await?;
        }
        Err(ApiError::Internal { what: "the daemon has everything and does not end the attempt".to_owned() })
    }

    /// Delivers records until the attempt has ended and all of them are durable; answers with how many there are.
    async fn deliver_records(&self, outbox: &mut watch::Receiver<Outbox>) -> Result<u64, ApiError> {
        // What the daemon has already, from before this process or from before it was restarted.
        let mut durable = self.report(0, Vec::new()).await?;
        let mut most = BATCH;
        loop {
            let (batch, complete) = {
                let seen = outbox.borrow_and_update();
                let from = usize::try_from(durable).unwrap_or(usize::MAX).min(seen.records.len());
                let batch: Vec<_> = seen.records[from..].iter().take(most).cloned().collect();
                let complete = batch.is_empty() && seen.end.is_some();
                (batch, complete)
            };
            if complete {
                return Ok(durable);
            }
            if batch.is_empty() {
                // The sender lives as long as the attempt, which ends by an end.
                if outbox.changed().await.is_err() {
                    return Err(ApiError::Internal { what: "the attempt was given up".to_owned() });
                }
                continue;
            }
            self.upload_checkpoints(&batch).await?;
            let next = match self.report(durable, batch.clone()).await {
                // Fewer may fit; one that does not fit alone never will.
                Err(ApiError::TooLarge { .. }) if batch.len() > 1 => {
                    most = batch.len() / 2;
                    continue;
                }
                reported => reported?,
            };
            most = BATCH;
            self.unpin(&batch);
            if next <= durable {
                return Err(ApiError::Internal {
                    what: format!("the daemon does not store record {} and does not say why", durable + 1),
                });
            }
            durable = next;
        }
    }

    async fn report(&self, durable: u64, records: Vec<Record>) -> Result<u64, ApiError> {
        let attempt = self.folders.attempt();
        insist("report its records", attempt, || self.client.report(attempt, durable + 1, records.clone())).await
    }

    async fn upload_checkpoints(&self, records: &[Record]) -> Result<(), ApiError> {
        let attempt = self.folders.attempt();
        for record in records {
            let Record::Checkpoint(checkpoint) = record else { continue };
            let path = self.folders.pinned(&checkpoint.sha256);
            let upload = || self.upload(checkpoint, &path);
            insist("upload its checkpoint", attempt, upload).await?;
        }
        Ok(())
    }

    /// One to resume from that is no longer there is passed over: a newer one has taken its place, or the disk has lost it,
    /// and whoever goes on goes on from another.
    async fn upload(&self, checkpoint: &CheckpointRecord, path: &Path) -> Result<(), ApiError> {
        let sent = match path.exists() {
            true => self.client.upload(self.folders.attempt(), path, &checkpoint.sha256, checkpoint.bytes).await,
            false => {
                let what = format!("checkpoint {} is gone from this worker's disk", path.display());
                Err(ApiError::Precondition { what })
            }
        };
        match (sent, checkpoint.role) {
            // It may go while it is sent.
            (Err(error), CheckpointRole::Resume) if !path.exists() => {
                tracing::debug!(attempt = %self.folders.attempt(), %error, "a checkpoint is passed over");
                Ok(())
            }
            (sent, _) => sent,
        }
    }

    /// Lets go of what was sent. A final checkpoint is kept to the end, since everything else hangs on it.
    fn unpin(&self, records: &[Record]) {
        for record in records {
            let Record::Checkpoint(checkpoint) = record else { continue };
            if checkpoint.role == CheckpointRole::Final {
                continue;
            }
            if let Err(error) = unpin(self.folders, &checkpoint.sha256) {
                tracing::debug!(sha256 = %checkpoint.sha256, %error, "a sent checkpoint stays until its attempt's end");
            }
        }
    }

    /// After a refusal: ends the attempt by telling the daemon what it refused, as far as it still listens.
    pub(crate) async fn give_up(&self, refusal: &ApiError) {
        let attempt = self.folders.attempt();
        let end =
            end_by(AttemptOutcome::WorkerError, format!("the daemon refused what the worker reported: {refusal}"));
        let told = async {
            let durable = self.report(0, Vec::new()).await?;
            insist("give up", attempt, || self.client.settle(attempt, durable, end.clone())).await
        };
        if let Err(error) = told.await {
            tracing::error!(%attempt, %error, %refusal, "the attempt is dropped");
        }
    }
}
