//! The end of an attempt, and what follows for its job and the jobs that wait for it.

use rrm_spec::{
    AttemptId, AttemptOutcome, Disposition, JobId, JobKind, JobSpec, JobState, RetryBudget, Stop, Transition,
    disposition,
};
use serde_json::json;

use crate::attempt::{AttemptRow, End};
use crate::event::Of;
use crate::job::{JobRow, Move, Standing, Step};
use crate::{StoreError, Tx, Write, attempt, checkpoint, diagnostic, epoch, evaluation, event, job, service, usage};

/// Ends an attempt as its worker tells. Telling the same again changes nothing.
pub struct Settle {
    /// Which.
    pub attempt: AttemptId,
    /// Number of its last record, 0 where it has none: all of them must be stored before.
    pub records_seq: u64,
    /// How it ended.
    pub end: End,
    /// How long the job is held back where it is tried again after an error of the machine.
    pub backoff: Backoff,
}

/// How long jobs are held back before another try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Before the first one, in microseconds; it doubles with every further one, up to ten minutes.
    pub base_us: i64,
    /// What that is multiplied by, drawn by the caller from 0.5 to 1.5: jobs that failed together do not return together.
    pub jitter: f64,
}

impl Backoff {
    /// None at all.
    const NONE: Self = Self { base_us: 0, jitter: 1.0 };

    fn pause_us(self, retries: u32) -> i64 {
        let pause = self.base_us.saturating_mul(1 << retries.min(30)).min(LONGEST_PAUSE_US);
        // Ten minutes in microseconds are far from where doubles become coarse.
        (pause as f64 * self.jitter.clamp(0.5, 1.5)).round() as i64
    }
}

impl Write for Settle {
    type Output = JobState;

    fn apply(self, tx: &mut Tx<'_>) -> Result<JobState, StoreError> {
        let lost = StoreError::LeaseLost { attempt: self.attempt };
        let Some(row) = attempt::find(tx, self.attempt)? else { return Err(lost) };
        if let Some(outcome) = row.outcome {
            return if outcome == self.end.outcome { Ok(job::get(tx, row.job)?.state) } else { Err(lost) };
        }
        let row = attempt::current(tx, self.attempt)?;
        if row.last_seq < self.records_seq {
            return Err(StoreError::conflict(format!(
                "attempt {} has {} of its {} records stored: send the others first",
                row.id, row.last_seq, self.records_seq
            )));
        }
        let job = job::get(tx, row.job)?;
        let end = self.checked(tx, &job, &row)?;
        end_attempt(tx, &job, &row, &end, self.backoff)
    }
}

impl Settle {
    /// A success without its results would release jobs that need them.
    fn checked(&self, tx: &mut Tx<'_>, job: &JobRow, row: &AttemptRow) -> Result<End, StoreError> {
        if self.end.outcome != AttemptOutcome::Ok || job.stop == Some(Stop::Cancel) {
            return Ok(self.end.clone());
        }
        let missing = match job.kind {
            // A synthesis records its parts as epochs, and its images as a final checkpoint.
            JobKind::Train | JobKind::Synthesize => missing_training(tx, job, row)?,
            JobKind::Evaluate => missing_evaluation(tx, job, row)?,
        };
        Ok(match missing {
            None => self.end.clone(),
            Some(what) => {
                End { outcome: AttemptOutcome::WorkerError, message: Some(format!("ended without {what}")), ..self.end }
            }
        })
    }
}

fn missing_evaluation(tx: &mut Tx<'_>, job: &JobRow, row: &AttemptRow) -> Result<Option<&'static str>, StoreError> {
    let (wanted, is_diagnosed, keeps_images) = match job::spec_of(tx, job.id)? {
        JobSpec::Evaluate(spec) => (spec.attacks().len() as u64, spec.diagnostics.is_some(), spec.keep_images),
        JobSpec::Train(_) | JobSpec::Synthesize(_) => (1, false, false),
    };
    match evaluation::told_by(tx, row.id)? {
        0 => Ok(Some("its evaluation")),
        found if found < wanted => Ok(Some("an evaluation at each of its radii")),
        _ if is_diagnosed && diagnostic::get(tx.connection, row.id)?.is_none() => Ok(Some("its diagnostics")),
        _ if keeps_images => missing_product(tx, row, "its adversarial images"),
        _ => Ok(None),
    }
}

fn missing_training(tx: &mut Tx<'_>, job: &JobRow, row: &AttemptRow) -> Result<Option<&'static str>, StoreError> {
    if epoch::count_current(tx, job.id)? != job.epochs_total {
        return Ok(Some("all of its epochs"));
    }
    missing_product(tx, row, "its final checkpoint")
}

/// What the job was for must be recorded, and its file be stored.
fn missing_product(tx: &mut Tx<'_>, row: &AttemptRow, what: &'static str) -> Result<Option<&'static str>, StoreError> {
    match checkpoint::final_by(tx, row.id)? {
        None => Ok(Some(what)),
        Some((_, true)) => Ok(None),
        Some((record, false)) => {
            Err(StoreError::conflict(format!("the final checkpoint {} is not uploaded yet", record.sha256)))
        }
    }
}

/// Takes attempts for lost whose workers are silent; those that have ended meanwhile are left alone.
pub struct Expire {
    /// Which.
    pub attempts: Vec<AttemptId>,
}

impl Write for Expire {
    /// Those that were lost just now.
    type Output = Vec<AttemptId>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<AttemptId>, StoreError> {
        let mut lost = Vec::new();
        for id in self.attempts {
            match attempt::current(tx, id) {
                Ok(row) => drop(give_up(tx, &row, AttemptOutcome::Lost, "the worker was silent for too long")?),
                Err(StoreError::LeaseLost { .. }) => continue,
                Err(error) => return Err(error),
            }
            lost.push(id);
        }
        Ok(lost)
    }
}

/// Ends an attempt of which its worker says nothing more.
pub(crate) fn give_up(
    tx: &mut Tx<'_>,
    row: &AttemptRow,
    outcome: AttemptOutcome,
    why: &str,
) -> Result<JobState, StoreError> {
    let job = job::get(tx, row.job)?;
    end_attempt(tx, &job, row, &End::silent(outcome, why), Backoff::NONE)
}

/// Closes a running job's attempt and moves the job on.
fn end_attempt(
    tx: &mut Tx<'_>,
    job: &JobRow,
    row: &AttemptRow,
    end: &End,
    backoff: Backoff,
) -> Result<JobState, StoreError> {
    attempt::close(tx, row.id, end)?;
    usage::record(tx, row.job, row.started_at)?;
    let data = json!({
        "outcome": end.outcome.name(), "message": end.message, "exit_code": end.exit_code, "signal": end.signal,
    });
    let of = Of { worker: Some(row.worker), ..job.event_of(row.id) };
    event::add(tx, "attempt.end", of, data)?;
    service::note(tx, row, end, of)?;
    let disposition = disposition(end.outcome, job.stop, job.budget);
    count_try(tx, job, disposition, backoff)?;
    let state = job::take(tx, job, step(disposition, job.stop, end))?;
    settle_dependants(tx, job.id, state)?;
    Ok(state)
}

fn step(disposition: Disposition, stop: Option<Stop>, end: &End) -> Step {
    let what = || Some(format!("{}: {}", end.outcome.name(), end.message.as_deref().unwrap_or("no further word")));
    match disposition {
        Disposition::Succeed => Step::new(Transition::Succeed),
        Disposition::Cancel => Step { stop, ..Step::because(Transition::Cancel, "cancelled by a user".to_owned()) },
        Disposition::Fail => {
            let stop = (end.outcome == AttemptOutcome::Timeout).then_some(Stop::Timeout);
            Step { stop, ..Step::because(Transition::Fail, what()) }
        }
        Disposition::Requeue if stop == Some(Stop::Preempt) => {
            Step::because(Transition::Requeue, "preempted".to_owned())
        }
        Disposition::Requeue | Disposition::Retry | Disposition::Crash => Step::because(Transition::Requeue, what()),
    }
}

fn count_try(tx: &mut Tx<'_>, job: &JobRow, disposition: Disposition, backoff: Backoff) -> Result<(), StoreError> {
    let RetryBudget { retries, crashes, .. } = job.budget;
    match disposition {
        Disposition::Succeed | Disposition::Cancel | Disposition::Fail | Disposition::Requeue => Ok(()),
        Disposition::Retry => {
            let not_before = Some(tx.now.saturating_add(backoff.pause_us(retries)));
            job::count_try(tx, job.id, RetryBudget { retries: retries + 1, ..job.budget }, not_before)
        }
        Disposition::Crash => job::count_try(tx, job.id, RetryBudget { crashes: crashes + 1, ..job.budget }, None),
    }
}

/// Longest pause before another try, before the jitter, which makes it at most half as long again.
const LONGEST_PAUSE_US: i64 = 600_000_000;

/// No pause is longer.
pub(crate) const LONGEST_PAUSE_WITH_JITTER_US: i64 = LONGEST_PAUSE_US / 2 * 3;

/// Releases the jobs that waited for a success, or skips all that can never run, in the same transaction.
fn settle_dependants(tx: &mut Tx<'_>, job: JobId, state: JobState) -> Result<(), StoreError> {
    match state {
        JobState::Waiting | JobState::Queued | JobState::Running => Ok(()),
        JobState::Succeeded => release(tx, job),
        JobState::Failed | JobState::Cancelled | JobState::Skipped => skip_dependants(tx, &[job]),
    }
}

fn release(tx: &mut Tx<'_>, parent: JobId) -> Result<(), StoreError> {
    let freed = job::freed_by(tx, parent)?;
    let moves: Vec<Move> = freed.into_iter().map(|id| Move { id, state: JobState::Waiting, reason: None }).collect();
    job::take_all(tx, Transition::Release, &moves)
}

/// Skips all that can never run, now that these jobs have ended without success.
pub(crate) fn skip_dependants(tx: &mut Tx<'_>, ended: &[JobId]) -> Result<(), StoreError> {
    let behind = job::waiting_behind(tx, ended)?;
    let moves: Vec<Move> = behind.into_iter().map(|(id, parent)| skipped(id, &parent)).collect();
    job::take_all(tx, Transition::Skip, &moves)
}

fn skipped(id: JobId, parent: &Standing) -> Move {
    // A parent that still waits is skipped in the same breath.
    let state = if parent.state == JobState::Waiting { JobState::Skipped } else { parent.state };
    Move { id, state: JobState::Waiting, reason: Some(format!("job {} `{}` is {state}", parent.id, parent.name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Backoff = Backoff { base_us: 10_000_000, jitter: 1.0 };

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        assert_eq!([0, 1, 2].map(|retries| PLAIN.pause_us(retries)), [10_000_000, 20_000_000, 40_000_000]);
        assert_eq!([6, 1000].map(|retries| PLAIN.pause_us(retries)), [LONGEST_PAUSE_US; 2]);
    }

    #[test]
    fn jitter_makes_a_pause_half_as_long_or_half_as_long_again_and_no_more() {
        let paused = |jitter| Backoff { jitter, ..PLAIN }.pause_us(0);
        assert_eq!([0.5, 1.5, 0.0, 7.0].map(paused), [5_000_000, 15_000_000, 5_000_000, 15_000_000]);
    }
}
