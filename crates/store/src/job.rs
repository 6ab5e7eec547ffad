//! Jobs: finding them, and moving them from state to state.

use rrm_spec::{AttemptId, Device, JobId, JobKind, JobSpec, JobState, RetryBudget, Stop, SubmissionId, Transition};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use crate::event::Of;
use crate::{StoreError, Tx, event, names};

/// What the state machine needs to know of a job.
#[derive(Clone)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) submission: SubmissionId,
    pub(crate) name: String,
    pub(crate) kind: JobKind,
    pub(crate) dataset: String,
    pub(crate) epochs_total: u32,
    pub(crate) state: JobState,
    pub(crate) stop: Option<Stop>,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) budget: RetryBudget,
}

impl JobRow {
    /// Labels an event of this job.
    pub(crate) fn event(&self) -> Of {
        Of { submission: Some(self.submission), job: Some(self.id), ..Of::default() }
    }

    pub(crate) fn event_of(&self, attempt: AttemptId) -> Of {
        Of { attempt: Some(attempt), ..self.event() }
    }
}

impl FromRow<'_, SqliteRow> for JobRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let decode = |error: StoreError| sqlx::Error::Decode(error.into());
        Ok(Self {
            id: JobId(row.try_get("job_id")?),
            submission: SubmissionId(row.try_get("submission_id")?),
            name: row.try_get("name")?,
            kind: names::kind(row.try_get("kind")?).map_err(decode)?,
            dataset: row.try_get("dataset")?,
            epochs_total: row.try_get("epochs_total")?,
            state: names::state(row.try_get("state")?).map_err(decode)?,
            stop: names::stop(row.try_get("stop")?).map_err(decode)?,
            attempt: row.try_get::<Option<i64>, _>("attempt_id")?.map(AttemptId),
            budget: RetryBudget {
                retries: row.try_get("retries")?,
                max_retries: row.try_get("max_retries")?,
                crashes: row.try_get("crashes")?,
                crash_limit: row.try_get("crash_limit")?,
            },
        })
    }
}

pub(crate) async fn find(tx: &mut Tx<'_>, id: JobId) -> Result<Option<JobRow>, StoreError> {
    let found = sqlx::query_as("select * from job where job_id = ?").bind(id.0).fetch_optional(&mut *tx.connection);
    Ok(found.await?)
}

pub(crate) async fn get(tx: &mut Tx<'_>, id: JobId) -> Result<JobRow, StoreError> {
    find(tx, id).await?.ok_or_else(|| StoreError::not_found(format!("job {id}")))
}

pub(crate) async fn spec_of(tx: &mut Tx<'_>, id: JobId) -> Result<JobSpec, StoreError> {
    let text: String =
        sqlx::query_scalar("select spec from job where job_id = ?").bind(id.0).fetch_one(&mut *tx.connection).await?;
    Ok(serde_json::from_str(&text)?)
}

/// The job that a free device gets: highest priority first, then oldest.
pub(crate) async fn next_queued(tx: &mut Tx<'_>, device: Device) -> Result<Option<JobRow>, StoreError> {
    let found = sqlx::query_as(
        "select * from job \
         where state = 'queued' and device_request in ('any', ?) and (not_before is null or not_before <= ?) \
         order by priority desc, job_id limit 1",
    )
    .bind(names::device_class(device))
    .bind(tx.now)
    .fetch_optional(&mut *tx.connection);
    Ok(found.await?)
}

/// Jobs that wait for this one.
pub(crate) async fn waiting_for(tx: &mut Tx<'_>, parent: JobId) -> Result<Vec<JobRow>, StoreError> {
    let found = sqlx::query_as(
        "select job.* from dependency join job using (job_id) \
         where dependency.parent_id = ? and job.state = 'waiting' order by job_id",
    )
    .bind(parent.0)
    .fetch_all(&mut *tx.connection);
    Ok(found.await?)
}

/// The first parent that has not succeeded.
pub(crate) async fn open_parent(tx: &mut Tx<'_>, id: JobId) -> Result<Option<(JobId, String)>, StoreError> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "select parent.job_id, parent.name from dependency join job parent on parent.job_id = dependency.parent_id \
         where dependency.job_id = ? and parent.state <> 'succeeded' order by parent.job_id limit 1",
    )
    .bind(id.0)
    .fetch_optional(&mut *tx.connection)
    .await?;
    Ok(found.map(|(id, name)| (JobId(id), name)))
}

/// A step of the state machine.
pub(crate) struct Step {
    pub(crate) transition: Transition,
    /// The attempt that makes the job run.
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) reason: Option<String>,
}

impl Step {
    pub(crate) fn new(transition: Transition) -> Self {
        Self { transition, attempt: None, reason: None }
    }

    pub(crate) fn because(transition: Transition, reason: impl Into<Option<String>>) -> Self {
        Self { reason: reason.into(), ..Self::new(transition) }
    }
}

/// Moves a job, as far as the state machine allows it, and tells of it.
pub(crate) async fn take(tx: &mut Tx<'_>, job: &JobRow, step: Step) -> Result<JobState, StoreError> {
    let what = |error| StoreError::Precondition { what: format!("job {} `{}`: {error}", job.id, job.name) };
    let state = job.state.after(step.transition).map_err(what)?;
    set_state(tx, job, state, &step).await?;
    tx.queued |= state == JobState::Queued;
    let data = json!({ "from": job.state.name(), "to": state.name(), "reason": step.reason });
    let of = Of { attempt: step.attempt.or(job.attempt), ..job.event() };
    event::add(tx, "job.state", of, data).await?;
    Ok(state)
}

async fn set_state(tx: &mut Tx<'_>, job: &JobRow, state: JobState, step: &Step) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "update job set \
             state = ?1, attempt_id = ?2, reason = ?3, \
             queued_at = iif(?1 = 'queued', ?4, queued_at), \
             started_at = iif(?1 = 'running', coalesce(started_at, ?4), started_at), \
             ended_at = iif(?5, ?4, null) \
         where job_id = ?6 and state = ?7",
    )
    .bind(state.name())
    .bind(step.attempt.map(|id| id.0))
    .bind(step.reason.as_deref())
    .bind(tx.now)
    .bind(state.is_terminal())
    .bind(job.id.0)
    .bind(job.state.name())
    .execute(&mut *tx.connection)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::internal(format!("job {} is not {}", job.id, job.state))),
    }
}

pub(crate) async fn set_stop(tx: &mut Tx<'_>, job: &JobRow) -> Result<(), StoreError> {
    sqlx::query("update job set stop = 'cancel' where job_id = ?").bind(job.id.0).execute(&mut *tx.connection).await?;
    event::add(tx, "job.stop", Of { attempt: job.attempt, ..job.event() }, json!({ "stop": "cancel" })).await
}

/// Counts a retry or a crash, and holds the job back until `not_before`.
pub(crate) async fn count_try(
    tx: &mut Tx<'_>,
    job: JobId,
    budget: RetryBudget,
    not_before: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query("update job set retries = ?, crashes = ?, not_before = ? where job_id = ?")
        .bind(budget.retries)
        .bind(budget.crashes)
        .bind(not_before)
        .bind(job.0)
        .execute(&mut *tx.connection)
        .await?;
    Ok(())
}
