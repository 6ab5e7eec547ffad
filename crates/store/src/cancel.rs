//! A user's wish to end jobs.

use rrm_spec::{JobId, JobState, Stop, Transition};

use crate::job::{Move, Standing};
use crate::settle::skip_dependants;
use crate::{StoreError, Tx, Write, job, names};

/// Cancels jobs; those that have ended stay as they are.
///
/// What does not run ends at once. What runs is marked, and ends as cancelled when its attempt does, whatever that says: an
/// acknowledged cancellation means no later success.
///
/// Fails with [`StoreError::NotFound`] where a job does not exist, with [`StoreError::Forbidden`] where the caller may not change one, and
/// with [`StoreError::Precondition`] where all have succeeded or failed; nothing is cancelled then. Jobs that are cancelled or skipped
/// already are no fault, so that the request can be repeated.
pub struct Cancel {
    /// Which.
    pub jobs: Vec<JobId>,
}

impl Write for Cancel {
    /// The jobs that are still running and now marked.
    type Output = Vec<JobId>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<JobId>, StoreError> {
        let jobs = job::standings(tx, self.jobs)?;
        refuse_ended(&jobs)?;
        // All before any is skipped: a job must not be skipped on account of its parent when it was to be cancelled itself.
        let idle: Vec<Move> = jobs.iter().filter(|job| is_idle(job.state)).map(cancelled).collect();
        job::take_all(tx, Transition::Cancel, &idle)?;
        skip_dependants(tx, &idle.iter().map(|job| job.id).collect::<Vec<_>>())?;
        let running = job::running(&jobs);
        job::stop_all(tx, &running, Stop::Cancel)?;
        Ok(running)
    }
}

fn is_idle(state: JobState) -> bool {
    match state {
        JobState::Waiting | JobState::Queued => true,
        JobState::Running | JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Skipped => false,
    }
}

fn cancelled(job: &Standing) -> Move {
    Move { id: job.id, state: job.state, reason: Some("cancelled by a user".to_owned()) }
}

fn refuse_ended(jobs: &[Standing]) -> Result<(), StoreError> {
    let has_ended = |job: &Standing| matches!(job.state, JobState::Succeeded | JobState::Failed);
    if jobs.is_empty() || !jobs.iter().all(has_ended) {
        return Ok(());
    }
    let names =
        names::first_few(jobs.iter().map(|job| format!("job {} `{}` has already {}", job.id, job.name, job.state)));
    Err(StoreError::Precondition { what: format!("{names}; nothing was cancelled") })
}
