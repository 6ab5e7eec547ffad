//! What a trainer reports, stored exactly once.

use std::collections::BTreeSet;

use rrm_spec::{
    AttemptId, CheckpointRecord, ClassAccuracy, DiagnosticsRecord, EpochRecord, EvaluationRecord, ImageOutcome,
    JobKind, Record, RunStarted, Violations,
};
use serde::Serialize;
use serde_json::json;

use crate::attempt::AttemptRow;
use crate::job::JobRow;
use crate::{StoreError, Tx, Write, attempt, checkpoint, diagnostic, epoch, evaluation, event, job, result_key};

/// Stores records of an attempt that are not stored yet.
///
/// Records have consecutive numbers from 1. Those that are stored are passed over, those beyond a gap are not taken: the
/// answer, the highest durable number, tells the worker where to go on.
pub struct Report {
    /// Whose records.
    pub attempt: AttemptId,
    /// Number of the first one here.
    pub first_seq: u64,
    /// The records.
    pub records: Vec<Record>,
}

impl Write for Report {
    type Output = u64;

    fn apply(self, tx: &mut Tx<'_>) -> Result<u64, StoreError> {
        let mut attempt = attempt::current(tx, self.attempt)?;
        let job = job::get(tx, attempt.job)?;
        let next = attempt.last_seq + 1;
        if self.first_seq == 0 {
            return Err(refused("first_seq", 0, "must be 1 or more"));
        }
        if self.first_seq > next {
            return Ok(attempt.last_seq);
        }
        let known = usize::try_from(next - self.first_seq).unwrap_or(usize::MAX);
        let fresh = self.records.get(known..).unwrap_or_default();
        for record in fresh {
            store(tx, &job, &mut attempt, record)?;
        }
        let durable = attempt.last_seq + fresh.len() as u64;
        attempt::set_last_seq(tx, attempt.id, durable)?;
        Ok(durable)
    }
}

fn store(tx: &mut Tx<'_>, job: &JobRow, attempt: &mut AttemptRow, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Started(run) => started(tx, job, attempt, run),
        Record::Epoch(epoch) => trained(tx, job, attempt, epoch),
        Record::Checkpoint(checkpoint) => saved(tx, job, attempt, checkpoint),
        Record::Evaluation(evaluation) => evaluated(tx, job, attempt, evaluation),
        Record::Diagnostics(diagnostics) => diagnosed(tx, job, attempt, diagnostics),
    }
}

fn started(tx: &mut Tx<'_>, job: &JobRow, attempt: &mut AttemptRow, run: &RunStarted) -> Result<(), StoreError> {
    // From before evaluations counted their checkpoints.
    let run = RunStarted { first_epoch: run.first_epoch.max(1), ..run.clone() };
    if attempt.first_epoch.is_some() {
        return Err(refused("started", attempt.id, "an attempt starts once"));
    }
    if run.first_epoch > 1 && !is_known(tx, job, run.first_epoch - 1)? {
        let allowed = "must follow an epoch that is recorded, or a checkpoint of the evaluation";
        return Err(refused("first_epoch", run.first_epoch, allowed));
    }
    attempt::set_run(tx, attempt.id, &run)?;
    result_key::keep(tx, job, attempt, &run)?;
    attempt.first_epoch = Some(run.first_epoch);
    event::add(tx, "run", job.event_of(attempt.id), serde_json::to_value(&run)?)
}

/// Whether an attempt at the job can go on from there.
fn is_known(tx: &mut Tx<'_>, job: &JobRow, epoch: u32) -> Result<bool, StoreError> {
    match job.kind {
        JobKind::Train | JobKind::Synthesize => epoch::is_current(tx, job.id, epoch),
        // It has no epochs, but counts its checkpoints.
        JobKind::Evaluate => checkpoint::is_recorded(tx, job.id, epoch),
    }
}

fn trained(tx: &mut Tx<'_>, job: &JobRow, attempt: &AttemptRow, record: &EpochRecord) -> Result<(), StoreError> {
    let Some(first) = attempt.first_epoch else {
        return Err(refused("epoch", record.epoch, "must come after the start"));
    };
    let next = epoch::last(tx, attempt.id)?.map_or(first, |last| last + 1);
    if record.epoch < first || record.epoch > next.min(job.epochs_total) {
        let allowed = format!("must be {next}, the next one of 1 to {}", job.epochs_total);
        return Err(refused("epoch", record.epoch, &allowed));
    }
    if !(record.loss.is_finite() && record.learning_rate.is_finite()) {
        return Err(refused("loss", record.loss, "must be a finite number, as must the learning rate"));
    }
    if epoch::insert(tx, attempt.id, record)? {
        return event::add(tx, "epoch", job.event_of(attempt.id), serde_json::to_value(record)?);
    }
    let stored = epoch::get(tx, attempt.id, record.epoch)?;
    tell_difference(tx, job, attempt, "error.epoch-differs", &stored, record)
}

fn saved(tx: &mut Tx<'_>, job: &JobRow, attempt: &AttemptRow, record: &CheckpointRecord) -> Result<(), StoreError> {
    if checkpoint::insert(tx, attempt.id, record)? {
        return event::add(tx, "checkpoint", job.event_of(attempt.id), serde_json::to_value(record)?);
    }
    let stored = checkpoint::find(tx, attempt.id, record)?;
    tell_difference(tx, job, attempt, "error.checkpoint-differs", &stored, record)
}

fn evaluated(tx: &mut Tx<'_>, job: &JobRow, attempt: &AttemptRow, record: &EvaluationRecord) -> Result<(), StoreError> {
    if job.kind != JobKind::Evaluate {
        return Err(refused("evaluation", job.id, "must come from an evaluation job"));
    }
    if let Some(image) = record.images.iter().find(|image| !is_finite(image)) {
        let told = format!("{:?} of image {}", image.closest, image.image);
        return Err(refused("evaluation", told, "must have a finite loss and margin"));
    }
    if record.audit.is_some_and(|audit| !audit.largest_change.is_finite()) {
        return Err(refused("evaluation", "the largest change", "must be a finite number"));
    }
    let summary = EvaluationRecord { images: Vec::new(), classes: ClassAccuracy::of(&record.images), ..record.clone() };
    if evaluation::insert(tx, attempt.id, record)? {
        return event::add(tx, "evaluation", job.event_of(attempt.id), serde_json::to_value(&summary)?);
    }
    let stored = evaluation::get(tx, attempt.id, record)?;
    tell_difference(tx, job, attempt, "error.evaluation-differs", &stored, &summary)
}

fn diagnosed(
    tx: &mut Tx<'_>,
    job: &JobRow,
    attempt: &AttemptRow,
    record: &DiagnosticsRecord,
) -> Result<(), StoreError> {
    if job.kind != JobKind::Evaluate {
        return Err(refused("diagnostics", job.id, "must come from an evaluation job"));
    }
    let mut names = BTreeSet::new();
    for number in &record.numbers {
        if !number.is_sound() {
            return Err(refused(&number.name, number.value, "must be a finite number with a plain name"));
        }
        if !names.insert(&number.name) {
            return Err(refused("diagnostics", &number.name, "must name each number once"));
        }
    }
    if diagnostic::insert(tx, attempt.id, record)? {
        return event::add(tx, "diagnostics", job.event_of(attempt.id), serde_json::to_value(record)?);
    }
    let stored = diagnostic::get(tx.connection, attempt.id)?;
    tell_difference(tx, job, attempt, "error.diagnostics-differ", &stored, &Some(record))
}

fn is_finite(image: &ImageOutcome) -> bool {
    image.closest.is_none_or(|closest| closest.loss.is_finite() && closest.margin.is_finite())
}

/// A second record of the same thing is kept out. Where it says something else, a computation that should be repeatable
/// was not: that must not pass unseen.
fn tell_difference<T: Serialize, U: Serialize>(
    tx: &mut Tx<'_>,
    job: &JobRow,
    attempt: &AttemptRow,
    kind: &str,
    stored: &T,
    told: &U,
) -> Result<(), StoreError> {
    let (stored, told) = (serde_json::to_value(stored)?, serde_json::to_value(told)?);
    if stored == told {
        return Ok(());
    }
    tracing::error!(job = %job.id, attempt = %attempt.id, kind, "a record differs from the stored one, which stays");
    let data = json!({ "stored": stored, "told": told });
    event::add(tx, kind, job.event_of(attempt.id), data)
}

fn refused(field: &str, value: impl ToString, allowed: &str) -> StoreError {
    Violations::one(field, value.to_string(), allowed).into()
}
