//! Keeping a trainer's records: on this disk first, then on their way to the daemon.

use std::{io, sync::Arc, time::Duration};

use rrm_api::AttemptEnd;
use rrm_spec::{ArtifactHash, AttemptId, AttemptOutcome, CheckpointRecord, CheckpointRole, Record};

use super::{blocking, trainer::Trainer};
use crate::{
    deliver::PAUSE,
    outcome::{end_by, what_holds},
    spool::{PinError, pin, unpin},
};

/// Between two looks whether a full disk has room again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Trainer<'_> {
    /// Brings a record to disk, then to the daemon's courier.
    pub(super) async fn keep(&self, record: Record) -> Result<(), AttemptEnd> {
        let stopped = || self.told_to_end();
        match patiently(self.place.attempt, || self.write_down(&record), stopped).await {
            Ok(Kept::Yes) => {}
            Ok(Kept::No) => return Ok(()),
            Err(Unkept::Fault(error)) => {
                return Err(end_by(AttemptOutcome::WorkerError, format!("a record cannot be kept: {error}")));
            }
            Err(Unkept::Stopped(error)) => {
                let holds = self.what_holds();
                let message = format!("told to stop while a record could not be kept: {error}; {holds}");
                return Err(end_by(AttemptOutcome::Stopped, message));
            }
        }
        self.supersede(&record).await;
        self.outbox.send_modify(|outbox| outbox.records.push(record));
        Ok(())
    }

    /// What another attempt goes on from: what this one has made, or what it went on from itself.
    pub(super) fn what_holds(&self) -> String {
        let made = self.outbox.borrow().records.iter().rev().find_map(resume_checkpoint).map(|newest| newest.epoch);
        let earlier = self.assignment.resume.as_ref().map(|resume| resume.epoch);
        what_holds(&self.assignment.spec, made.or(earlier))
    }

    /// Brings a record to disk, after the checkpoint that it names.
    async fn write_down(&self, record: &Record) -> io::Result<Kept> {
        let (folders, spool, record) = (self.folders.clone(), Arc::clone(&self.spool), record.clone());
        let attempt = self.place.attempt;
        blocking(move || {
            if let Record::Checkpoint(checkpoint) = &record {
                match pin(&folders, checkpoint) {
                    Ok(()) => {}
                    // Newer than what was announced: its own record is about to come.
                    Err(error @ PinError::Replaced { .. }) if checkpoint.role == CheckpointRole::Resume => {
                        tracing::warn!(%attempt, %error, "skipped a checkpoint");
                        return Ok(Kept::No);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            spool.lock().map_err(|_| io::Error::other("the spool broke"))?.append(&record)?;
            Ok(Kept::Yes)
        })
        .await
    }

    /// Lets go of the checkpoint that nobody will resume from any more, sent or not: while the daemon is away they would
    /// fill the disk.
    async fn supersede(&self, newer: &Record) {
        let Some(newer) = resume_file(newer) else { return };
        let older = self.outbox.borrow().records.iter().rev().find_map(resume_file).cloned();
        let Some(older) = older.filter(|older| older != newer) else { return };
        let folders = self.folders.clone();
        if let Err(error) = blocking(move || unpin(&folders, &older)).await {
            tracing::warn!(attempt = %self.place.attempt, %error, "an old checkpoint stays until its attempt's end");
        }
    }
}

fn resume_file(record: &Record) -> Option<&ArtifactHash> {
    resume_checkpoint(record).map(|checkpoint| &checkpoint.sha256)
}

fn resume_checkpoint(record: &Record) -> Option<&CheckpointRecord> {
    match record {
        Record::Checkpoint(checkpoint) if checkpoint.role == CheckpointRole::Resume => Some(checkpoint),
        _ => None,
    }
}

/// Whether a record is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// Why a record was not kept.
#[derive(Debug)]
enum Unkept {
    /// Waiting does not cure it.
    Fault(io::Error),
    /// The attempt was told to end before there was room.
    Stopped(io::Error),
}

/// Writes until there is room on the disk: a trainer that waits for somebody to tidy up loses nothing, one that is killed
/// loses a try and what it did since its last checkpoint.
async fn patiently<W, S>(attempt: AttemptId, write: impl Fn() -> W, stopped: impl Fn() -> S) -> Result<Kept, Unkept>
where
    W: Future<Output = io::Result<Kept>>,
    S: Future<Output = ()>,
{
    let mut pause = PAUSE;
    loop {
        let error = match write().await {
            Err(error) if is_full(&error) => error,
            written => return written.map_err(Unkept::Fault),
        };
        tracing::warn!(%attempt, %error, ?pause, "no room for a record: the trainer waits until there is");
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stopped() => return Err(Unkept::Stopped(error)),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// Writes to a disk that is full so many times.
    async fn written<S: Future<Output = ()>>(full: u32, stopped: impl Fn() -> S) -> Result<Kept, Unkept> {
        let left = AtomicU32::new(full);
        let write = || {
            let full = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            ready(if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(Kept::Yes) })
        };
        patiently(AttemptId(7), write, stopped).await
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_for() {
        assert!(matches!(written(3, pending).await, Ok(Kept::Yes)));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_full_disk_after_being_told_to_end() {
        assert!(matches!(written(u32::MAX, || ready(())).await, Err(Unkept::Stopped(_))));
    }

    #[tokio::test]
    async fn a_broken_disk_is_not_waited_for() {
        let write = || ready(Err(io::ErrorKind::ReadOnlyFilesystem.into()));
        assert!(matches!(patiently(AttemptId(7), write, pending).await, Err(Unkept::Fault(_))));
    }
}
