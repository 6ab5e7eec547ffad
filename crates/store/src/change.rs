//! Changes to jobs that have not begun: holds and priorities.

use rrm_spec::{JobChange, JobId, JobState};
use serde_json::{Value, json};

use crate::job::Standing;
use crate::{StoreError, Tx, Write, event, job, sql};

/// Changes jobs; what is as wished already stays as it is, so that the request can be repeated.
///
/// Fails with [`StoreError::NotFound`] where a job does not exist, with [`StoreError::Forbidden`] where the caller may not change one, and
/// with [`StoreError::Precondition`] where one is in a state in which it cannot be changed; nothing is changed then.
pub struct Change {
    /// Which.
    pub jobs: Vec<JobId>,
    /// How.
    pub change: JobChange,
}

impl Write for Change {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let jobs = job::standings(tx, self.jobs)?;
        job::refuse_unless(&jobs, |job| is_allowed(job, self.change), allowed(self.change))?;
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        match self.change {
            JobChange::Hold => hold(tx, &ids),
            JobChange::Release => release(tx, &ids),
            JobChange::Priority(priority) => prioritize(tx, &ids, priority),
        }
    }
}

fn is_allowed(job: &Standing, change: JobChange) -> bool {
    match job.state {
        JobState::Waiting | JobState::Queued => true,
        // One that gives way may have been held for when it is queued again.
        JobState::Running => change == JobChange::Release,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Skipped => false,
    }
}

fn allowed(change: JobChange) -> &'static str {
    match change {
        JobChange::Hold => {
            "only jobs that wait or are queued can be held; one that runs can be preempted and held (`rrm preempt --hold`)"
        }
        JobChange::Release => "only jobs that have not ended can be released",
        JobChange::Priority(_) => "only the priority of jobs that wait or are queued can be changed",
    }
}

/// Holds those of these jobs that are not held yet, whatever their state.
pub(crate) fn hold(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<(), StoreError> {
    let changed = set_held(tx, ids, true)?;
    event::add_each(tx, "job.hold", &without_data(changed))
}

fn release(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<(), StoreError> {
    let changed = set_held(tx, ids, false)?;
    tx.queued |= !changed.is_empty();
    event::add_each(tx, "job.release", &without_data(changed))
}

fn without_data(jobs: Vec<JobId>) -> Vec<(JobId, Value)> {
    jobs.into_iter().map(|id| (id, json!({}))).collect()
}

/// Those that were not so before.
fn set_held(tx: &mut Tx<'_>, ids: &[JobId], held: bool) -> Result<Vec<JobId>, StoreError> {
    let changed: Vec<i64> = sql::query_scalar(
        "update job set held = ?1 where job_id in (select value from json_each(?2)) and held <> ?1 returning job_id",
    )
    .bind(held)
    .bind(serde_json::to_string(ids)?)
    .fetch_all(tx.connection)?;
    Ok(changed.into_iter().map(JobId).collect())
}

fn prioritize(tx: &mut Tx<'_>, ids: &[JobId], priority: i32) -> Result<(), StoreError> {
    let ids = serde_json::to_string(ids)?;
    let before: Vec<(i64, i32)> = sql::query_as(
        "select job_id, priority from job where job_id in (select value from json_each(?)) and priority <> ?",
    )
    .bind(&ids)
    .bind(priority)
    .fetch_all(tx.connection)?;
    sql::query("update job set priority = ?1 where job_id in (select value from json_each(?2)) and priority <> ?1")
        .bind(priority)
        .bind(&ids)
        .execute(tx.connection)?;
    let rows: Vec<_> =
        before.into_iter().map(|(id, from)| (JobId(id), json!({ "from": from, "to": priority }))).collect();
    event::add_each(tx, "job.priority", &rows)
}
