//! The log of everything that happened.

use rrm_spec::{AttemptId, EventView, JobId, JobState, SubmissionId, WorkerId};
use rusqlite::Row;
use serde_json::Value;

use crate::sql::FromRow;
use crate::{Store, StoreError, Tx, caller, sql};

/// Whose event it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Of {
    pub(crate) submission: Option<SubmissionId>,
    pub(crate) job: Option<JobId>,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) worker: Option<WorkerId>,
}

impl Of {
    pub(crate) fn worker(worker: WorkerId) -> Self {
        Self { worker: Some(worker), ..Self::default() }
    }
}

pub(crate) fn add(tx: &mut Tx<'_>, kind: &str, of: Of, data: Value) -> Result<(), StoreError> {
    let (user, role) = caller::names(tx.caller.as_ref());
    let inserted = sql::query(
        "insert into event (at, kind, submission_id, job_id, attempt_id, worker_id, data, user, role) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(tx.now)
    .bind(kind)
    .bind(of.submission.map(|id| id.0))
    .bind(of.job.map(|id| id.0))
    .bind(of.attempt.map(|id| id.0))
    .bind(of.worker.map(|id| id.0))
    .bind(data.to_string())
    .bind(user)
    .bind(role)
    .execute(tx.connection)?;
    tx.newest_event = Some(inserted.last_insert_rowid);
    Ok(())
}

/// The first states of a submission's jobs, in one statement because there may be thousands.
pub(crate) fn add_first_states(tx: &mut Tx<'_>, submission: SubmissionId) -> Result<(), StoreError> {
    let (user, role) = caller::names(tx.caller.as_ref());
    let inserted = sql::query(
        "insert into event (at, kind, submission_id, job_id, data, user, role) \
         select ?, 'job.state', submission_id, job_id, json_object('from', null, 'to', state, 'reason', reason), ?, ? \
         from job where submission_id = ? order by job_id",
    )
    .bind(tx.now)
    .bind(user)
    .bind(role)
    .bind(submission.0)
    .execute(tx.connection)?;
    tx.newest_event = Some(inserted.last_insert_rowid);
    Ok(())
}

/// The common new state of jobs that do not run; `rows` is JSON: pairs of id and reason. Called before it is set.
pub(crate) fn add_states(tx: &mut Tx<'_>, state: JobState, rows: &str) -> Result<(), StoreError> {
    let (user, role) = caller::names(tx.caller.as_ref());
    let inserted = sql::query(
        "insert into event (at, kind, submission_id, job_id, data, user, role) \
         select ?1, 'job.state', submission_id, job_id, \
             json_object('from', job.state, 'to', ?2, 'reason', move.value ->> 1), ?4, ?5 \
         from json_each(?3) move cross join job on job_id = move.value ->> 0 order by job_id",
    )
    .bind(tx.now)
    .bind(state.name())
    .bind(rows)
    .bind(user)
    .bind(role)
    .execute(tx.connection)?;
    tx.newest_event = Some(inserted.last_insert_rowid);
    Ok(())
}

/// An event of the same kind for each of these jobs, with its data.
pub(crate) fn add_each(tx: &mut Tx<'_>, kind: &str, rows: &[(JobId, Value)]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (user, role) = caller::names(tx.caller.as_ref());
    let inserted = sql::query(
        "insert into event (at, kind, submission_id, job_id, attempt_id, data, user, role) \
         select ?1, ?2, submission_id, job_id, attempt_id, row.value ->> 1, ?4, ?5 \
         from json_each(?3) row cross join job on job_id = row.value ->> 0 order by job_id",
    )
    .bind(tx.now)
    .bind(kind)
    .bind(serde_json::to_string(rows)?)
    .bind(user)
    .bind(role)
    .execute(tx.connection)?;
    if inserted.rows_affected > 0 {
        tx.newest_event = Some(inserted.last_insert_rowid);
    }
    Ok(())
}

struct EventRow(EventView);

impl FromRow for EventRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(EventView {
            seq: row.get("seq")?,
            at: row.get("at")?,
            job: row.get::<_, Option<i64>>("job_id")?.map(JobId),
            attempt: row.get::<_, Option<i64>>("attempt_id")?.map(AttemptId),
            kind: row.get("kind")?,
            data: row.get("data")?,
        }))
    }
}

impl Store {
    /// At most `limit` events of a job after number `after`, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn job_events(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<EventView>, StoreError> {
        let rows: Vec<EventRow> =
            sql::query_as("select * from event where job_id = ? and seq > ? order by seq limit ?")
                .bind(job.0)
                .bind(after)
                .bind(limit)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(|EventRow(view)| view).collect())
    }

    /// The newest events of a job, at most `limit`, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn newest_job_events(&self, job: JobId, limit: u32) -> Result<Vec<EventView>, StoreError> {
        let rows: Vec<EventRow> = sql::query_as("select * from event where job_id = ? order by seq desc limit ?")
            .bind(job.0)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        Ok(rows.into_iter().rev().map(|EventRow(view)| view).collect())
    }

    /// A job's changes of state, in order; at most a thousand.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn state_events(&self, job: JobId) -> Result<Vec<EventView>, StoreError> {
        let rows: Vec<EventRow> =
            sql::query_as("select * from event where job_id = ? and kind = 'job.state' order by seq limit 1000")
                .bind(job.0)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(|EventRow(view)| view).collect())
    }

    /// The newest events of all, at most `limit`, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn newest_events(&self, limit: u32) -> Result<Vec<EventView>, StoreError> {
        let rows: Vec<EventRow> =
            sql::query_as("select * from event order by seq desc limit ?").bind(limit).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().rev().map(|EventRow(view)| view).collect())
    }

    /// Number of the newest event; 0 where there is none.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn newest_event(&self) -> Result<i64, StoreError> {
        sql::query_scalar("select coalesce(max(seq), 0) from event").fetch_one(&self.readers).await
    }

    /// At most `limit` events after number `after`, in order; of one plan, where named.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn events(
        &self,
        after: i64,
        submission: Option<SubmissionId>,
        limit: u32,
    ) -> Result<Vec<EventView>, StoreError> {
        let rows: Vec<EventRow> = match submission {
            None => {
                sql::query_as("select * from event where seq > ? order by seq limit ?")
                    .bind(after)
                    .bind(limit)
                    .fetch_all(&self.readers)
                    .await?
            }
            Some(submission) => {
                sql::query_as("select * from event where submission_id = ? and seq > ? order by seq limit ?")
                    .bind(submission.0)
                    .bind(after)
                    .bind(limit)
                    .fetch_all(&self.readers)
                    .await?
            }
        };
        Ok(rows.into_iter().map(|EventRow(view)| view).collect())
    }
}
