//! A user's wish to end jobs.

use rrm_spec::{JobId, JobState, Transition};

use crate::job::{JobRow, Step};
use crate::settle::settle_dependants;
use crate::{StoreError, Tx, Write, job};

/// Cancels jobs: all of them or, where one has already succeeded or failed, none.
///
/// What does not run ends at once. What runs is marked, and ends as cancelled when its attempt does, whatever that says: an
/// acknowledged cancellation means no later success. A job that is cancelled or skipped already is left as it is, so that
/// the request can be repeated.
pub struct Cancel {
    /// Which.
    pub jobs: Vec<JobId>,
}

impl Write for Cancel {
    /// The jobs that are still running and now marked.
    type Output = Vec<JobId>;

    async fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<JobId>, StoreError> {
        let mut ids = self.jobs;
        // Later jobs first: a job must not be skipped on account of its parent when it was to be cancelled itself.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let rows = rows(tx, &ids).await?;
        refuse_ended(&rows)?;
        let mut marked = Vec::new();
        for row in &rows {
            if cancel(tx, row).await? == JobState::Running {
                marked.push(row.id);
            }
        }
        Ok(marked)
    }
}

async fn rows(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<Vec<JobRow>, StoreError> {
    let mut rows = Vec::with_capacity(ids.len());
    for &id in ids {
        rows.push(job::get(tx, id).await?);
    }
    Ok(rows)
}

fn refuse_ended(rows: &[JobRow]) -> Result<(), StoreError> {
    let ended: Vec<String> = rows
        .iter()
        .filter(|row| matches!(row.state, JobState::Succeeded | JobState::Failed))
        .map(|row| format!("job {} `{}` has already {}", row.id, row.name, row.state))
        .collect();
    match ended.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Precondition { what: format!("{}; nothing was cancelled", ended.join(", ")) }),
    }
}

async fn cancel(tx: &mut Tx<'_>, row: &JobRow) -> Result<JobState, StoreError> {
    match row.state {
        JobState::Waiting | JobState::Queued => {
            let step = Step::because(Transition::Cancel, "cancelled by a user".to_owned());
            let state = job::take(tx, row, step).await?;
            settle_dependants(tx, row, state).await?;
            Ok(state)
        }
        JobState::Running => {
            if row.stop.is_none() {
                job::set_stop(tx, row).await?;
            }
            Ok(JobState::Running)
        }
        ended @ (JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Skipped) => Ok(ended),
    }
}
