//! Jobs as they are read back.

use std::collections::BTreeSet;

use rrm_spec::{
    ArtifactHash, AttemptId, AttemptView, CheckpointRecord, JobDetail, JobId, JobState, JobSummary, ParseIdError,
    RunStarted, Stop, SubmissionId, WorkerId,
};
use rusqlite::{Connection, Row};

use crate::checkpoint::CheckpointRow;
use crate::job::optional_hash;
use crate::sql::FromRow;
use crate::{Store, StoreError, diagnostic, epoch, evaluation, names, sql, usage};

/// Which jobs to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs in one of these states; empty = any.
    pub states: Vec<JobState>,
    /// Only jobs of this plan.
    pub submission: Option<SubmissionId>,
    /// Only jobs that need this one, of whichever plan.
    pub needs: Option<JobId>,
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

/// A running job, as far as its lease is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its current attempt.
    pub attempt: AttemptId,
    /// The job.
    pub job: JobId,
    /// The worker that has it.
    pub worker: WorkerId,
    /// What it has been asked to do.
    pub stop: Option<Stop>,
}

struct SummaryRow(JobSummary);

impl FromRow for SummaryRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(JobSummary {
            id: JobId(row.get("job_id")?),
            submission: SubmissionId(row.get("submission_id")?),
            plan: row.get("plan")?,
            owner: usage::name(row.get("owner")?)?,
            name: row.get("name")?,
            kind: names::kind(sql::text(row, "kind")?)?,
            state: names::state(sql::text(row, "state")?)?,
            stop: names::stop(sql::optional_text(row, "stop")?)?,
            held: row.get("held")?,
            priority: row.get("priority")?,
            time_limit: names::time_limit(row.get("time_limit_s")?)?,
            retry_of: row.get::<_, Option<i64>>("retry_of")?.map(JobId),
            retried_as: row.get::<_, Option<i64>>("retried_as")?.map(JobId),
            attempts: row.get("attempts")?,
            epochs_done: row.get("epochs_done")?,
            epochs_total: row.get("epochs_total")?,
            progress: None,
            reason: row.get("reason")?,
            created_at: row.get("created_at")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
        }))
    }
}

struct AttemptViewRow(AttemptView);

impl FromRow for AttemptViewRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let outcome = sql::optional_text(row, "outcome")?.map(names::outcome).transpose();
        Ok(Self(AttemptView {
            id: AttemptId(row.get("attempt_id")?),
            worker: WorkerId(row.get("worker_id")?),
            node: row.get("node")?,
            device: row.get("device")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
            outcome: outcome?,
            message: row.get("message")?,
            run: run(row)?,
        }))
    }
}

fn run(row: &Row<'_>) -> Result<Option<RunStarted>, StoreError> {
    let Some(device) = row.get("run_device")? else { return Ok(None) };
    Ok(Some(RunStarted {
        device,
        threads: row.get("run_threads")?,
        code_version: row.get("code_version")?,
        parameters: epoch::count(row, "parameters")?,
        first_epoch: row.get("first_epoch")?,
        data_sha256: optional_hash(row, "data_sha256")?,
        spec_sha256: optional_hash(row, "spec_sha256")?,
    }))
}

impl Store {
    /// Jobs, newest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        // One transaction, so that no job is seen in two states.
        let filter = filter.clone();
        self.readers
            .at_one_moment(move |reader| {
                let ids = match (filter.needs, filter.submission) {
                    (Some(parent), _) => ids_that_need(reader, parent, &filter)?,
                    (None, Some(submission)) => ids_of_plan(reader, submission, &filter)?,
                    (None, None) if filter.states.is_empty() => ids_of_all(reader, &filter)?,
                    (None, None) => ids_in_states(reader, &filter)?,
                };
                let mut jobs = summaries(reader, &ids)?;
                jobs.reverse();
                Ok(jobs)
            })
            .await
    }

    /// The list's rows of these jobs, oldest first; what does not exist is left out.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn jobs_by_id(&self, ids: &[JobId]) -> Result<Vec<JobSummary>, StoreError> {
        let ids = ids.to_vec();
        self.readers.run(move |reader| summaries(reader, &ids)).await
    }

    /// The jobs of a plan, those included that were done before; none where there is no such plan.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn jobs_of(&self, submission: SubmissionId) -> Result<Vec<JobId>, StoreError> {
        let found: Vec<i64> = sql::query_scalar(
            "select job_id from job where submission_id = ?1 union all \
             select job_id from reuse where submission_id = ?1",
        )
        .bind(submission.0)
        .fetch_all(&self.readers)
        .await?;
        Ok(job_ids(found))
    }

    /// A job with all that is recorded of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none, others where the database cannot be read.
    pub async fn job(&self, id: JobId) -> Result<JobDetail, StoreError> {
        // One transaction, so that all parts are of the same moment.
        self.readers
            .at_one_moment(move |reader| {
                let summary = summaries(reader, &[id])?.pop();
                Ok(JobDetail {
                    summary: summary.ok_or_else(|| StoreError::not_found(format!("job {id}")))?,
                    spec: serde_json::from_str(&spec_text(reader, id)?)?,
                    parents: parents(reader, id)?,
                    attempts: attempts(reader, id)?,
                    epochs: epoch::current(reader, id)?,
                    evaluations: evaluation::of_job(reader, id)?,
                    diagnostics: diagnostic::of_job(reader, id)?,
                    checkpoints: stored_checkpoints(reader, id)?,
                    content_key: content_key(reader, id)?,
                })
            })
            .await
    }

    /// A job's attempts, oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn attempts(&self, job: JobId) -> Result<Vec<AttemptView>, StoreError> {
        self.readers.run(move |reader| attempts(reader, job)).await
    }

    /// Of these attempts those whose job has ended before a time.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn ended_before(&self, time: i64, attempts: &[AttemptId]) -> Result<Vec<AttemptId>, StoreError> {
        let found: Vec<i64> = sql::query_scalar(
            "select attempt.attempt_id from json_each(?) named cross join attempt on attempt.attempt_id = named.value \
             cross join job on job.job_id = attempt.job_id where job.ended_at < ?",
        )
        .bind(serde_json::to_string(attempts)?)
        .bind(time)
        .fetch_all(&self.readers)
        .await?;
        Ok(found.into_iter().map(AttemptId).collect())
    }

    /// All running jobs.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn running(&self) -> Result<Vec<Running>, StoreError> {
        let found: Vec<(i64, i64, i64, Option<String>)> = sql::query_as(
            "select job.attempt_id, job.job_id, attempt.worker_id, job.stop \
             from job join attempt using (attempt_id) where job.state = 'running' order by job.attempt_id",
        )
        .fetch_all(&self.readers)
        .await?;
        found.into_iter().map(running).collect()
    }

    /// Whether there is an attempt with that id, and whether it is its job's current one.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn standing(&self, attempt: AttemptId) -> Result<Standing, StoreError> {
        let current: Option<bool> = sql::query_scalar(
            "select exists (select 1 from job where job.attempt_id = attempt.attempt_id and state = 'running') \
             from attempt where attempt_id = ?",
        )
        .bind(attempt.0)
        .fetch_optional(&self.readers)
        .await?;
        Ok(match current {
            None => Standing::Unknown,
            Some(true) => Standing::Current,
            Some(false) => Standing::Ended,
        })
    }
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none with that id.
    Unknown,
    /// It is its job's current one and may write.
    Current,
    /// It has ended.
    Ended,
}

fn running((attempt, job, worker, stop): (i64, i64, i64, Option<String>)) -> Result<Running, StoreError> {
    Ok(Running {
        attempt: AttemptId(attempt),
        job: JobId(job),
        worker: WorkerId(worker),
        stop: names::stop(stop.as_deref())?,
    })
}

/// One text for every way to choose, each served by an index: a condition that may or may not apply hides them all.
const ALL: &str = "select job_id from job where job_id < ?1 order by job_id desc limit ?2";
const IN_STATE: &str = "select job_id from job where job_id < ?1 and state = ?3 order by job_id desc limit ?2";
/// A network has few jobs that need it.
const THAT_NEED: &str = "select job_id from dependency cross join job using (job_id) \
    where parent_id = ?3 and job_id < ?1 and (?4 is null or submission_id = ?4) \
        and (?5 = '[]' or state in (select value from json_each(?5))) \
    order by job_id desc limit ?2";
/// A plan's ids rise with the ordinals, by which its jobs are indexed.
const OF_PLAN: &str =
    "select job_id from job where job_id < ?1 and submission_id = ?3 order by submission_id, ordinal desc limit ?2";
/// A plan has ten thousand jobs at most, a state any number: the plus keeps SQLite from the index by state.
const OF_PLAN_IN_STATES: &str = "select job_id from job \
    where job_id < ?1 and submission_id = ?3 and +state in (select value from json_each(?4)) \
    order by submission_id, ordinal desc limit ?2";

fn bound(filter: &JobFilter) -> i64 {
    filter.before.map_or(i64::MAX, |id| id.0)
}

fn job_ids(found: Vec<i64>) -> Vec<JobId> {
    found.into_iter().map(JobId).collect()
}

fn ids_of_all(connection: &Connection, filter: &JobFilter) -> Result<Vec<JobId>, StoreError> {
    let found = sql::query_scalar(ALL).bind(bound(filter)).bind(filter.limit).fetch_all(connection)?;
    Ok(job_ids(found))
}

fn ids_that_need(connection: &Connection, parent: JobId, filter: &JobFilter) -> Result<Vec<JobId>, StoreError> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let query = sql::query_scalar(THAT_NEED)
        .bind(bound(filter))
        .bind(filter.limit)
        .bind(parent.0)
        .bind(filter.submission.map(|plan| plan.0))
        .bind(serde_json::to_string(&states)?);
    Ok(job_ids(query.fetch_all(connection)?))
}

/// The newest of each state, and of these the newest: each state's are in order, those of several are not.
fn ids_in_states(connection: &Connection, filter: &JobFilter) -> Result<Vec<JobId>, StoreError> {
    let states: BTreeSet<&str> = filter.states.iter().map(|state| state.name()).collect();
    let mut ids = Vec::new();
    for state in states {
        let query = sql::query_scalar(IN_STATE).bind(bound(filter)).bind(filter.limit).bind(state);
        ids.extend(job_ids(query.fetch_all(connection)?));
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(filter.limit as usize);
    Ok(ids)
}

fn ids_of_plan(
    connection: &Connection,
    submission: SubmissionId,
    filter: &JobFilter,
) -> Result<Vec<JobId>, StoreError> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let query = match states.is_empty() {
        true => sql::query_scalar(OF_PLAN).bind(bound(filter)).bind(filter.limit).bind(submission.0),
        false => sql::query_scalar(OF_PLAN_IN_STATES)
            .bind(bound(filter))
            .bind(filter.limit)
            .bind(submission.0)
            .bind(serde_json::to_string(&states)?),
    };
    let mut ids = job_ids(query.fetch_all(connection)?);
    ids.extend(reused_by_plan(connection, submission, filter)?);
    ids.truncate(filter.limit as usize);
    Ok(ids)
}

/// What a plan found done, newest first: all of it older than the plan's own jobs, and succeeded.
fn reused_by_plan(
    connection: &Connection,
    submission: SubmissionId,
    filter: &JobFilter,
) -> Result<Vec<JobId>, StoreError> {
    if !filter.states.is_empty() && !filter.states.contains(&JobState::Succeeded) {
        return Ok(Vec::new());
    }
    let found = sql::query_scalar(
        "select distinct job_id from reuse where submission_id = ? and job_id < ? order by job_id desc limit ?",
    )
    .bind(submission.0)
    .bind(bound(filter))
    .bind(filter.limit)
    .fetch_all(connection)?;
    Ok(job_ids(found))
}

/// Oldest first.
fn summaries(connection: &Connection, ids: &[JobId]) -> Result<Vec<JobSummary>, StoreError> {
    let found: Vec<SummaryRow> = sql::query_as(
        "select job.*, submission.name as plan, \
             (select next.job_id from job next where next.retry_of = job.job_id) as retried_as, \
             (select count(*) from attempt where attempt.job_id = job.job_id) as attempts, \
             (select count(*) from epoch_current where epoch_current.job_id = job.job_id) as epochs_done \
         from job join submission using (submission_id) \
         where job.job_id in (select value from json_each(?)) order by job.job_id",
    )
    .bind(serde_json::to_string(ids)?)
    .fetch_all(connection)?;
    Ok(found.into_iter().map(|SummaryRow(summary)| summary).collect())
}

fn spec_text(connection: &Connection, id: JobId) -> Result<String, StoreError> {
    sql::query_scalar("select spec from job where job_id = ?").bind(id.0).fetch_one(connection)
}

fn content_key(connection: &Connection, id: JobId) -> Result<Option<ArtifactHash>, StoreError> {
    let found: Option<String> =
        sql::query_scalar("select content_key from job where job_id = ?").bind(id.0).fetch_one(connection)?;
    found.map(|key| key.parse().map_err(|error: ParseIdError| StoreError::internal(error))).transpose()
}

fn parents(connection: &Connection, id: JobId) -> Result<Vec<JobId>, StoreError> {
    let found: Vec<i64> = sql::query_scalar("select parent_id from dependency where job_id = ? order by parent_id")
        .bind(id.0)
        .fetch_all(connection)?;
    Ok(found.into_iter().map(JobId).collect())
}

fn attempts(connection: &Connection, id: JobId) -> Result<Vec<AttemptView>, StoreError> {
    let found: Vec<AttemptViewRow> = sql::query_as(
        "select attempt.*, worker.node from attempt join worker using (worker_id) \
         where job_id = ? order by attempt_id",
    )
    .bind(id.0)
    .fetch_all(connection)?;
    Ok(found.into_iter().map(|AttemptViewRow(view)| view).collect())
}

fn stored_checkpoints(connection: &Connection, id: JobId) -> Result<Vec<CheckpointRecord>, StoreError> {
    let found: Vec<CheckpointRow> = sql::query_as(
        "select checkpoint.* from checkpoint join attempt using (attempt_id) join artifact using (sha256) \
         where attempt.job_id = ? and checkpoint.released_at is null order by checkpoint_id",
    )
    .bind(id.0)
    .fetch_all(connection)?;
    Ok(found.into_iter().map(|CheckpointRow(record)| record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open;

    #[tokio::test]
    async fn no_way_to_list_jobs_scans_or_sorts_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let (_writer, readers) = open::open(&folder.path().join("rrm.db")).unwrap();
        for (sql, index) in [
            (ALL, "INTEGER PRIMARY KEY (rowid<?)"),
            (IN_STATE, "job_state (state=? AND job_id<?)"),
            (OF_PLAN, "(submission_id=?)"),
            (OF_PLAN_IN_STATES, "(submission_id=?)"),
            (THAT_NEED, "dependency_parent (parent_id=? AND job_id<?)"),
        ] {
            let plan = open::plan_of(&readers, sql).await;
            assert!(plan.contains("SEARCH job USING") && plan.contains(index), "{sql}:\n{plan}");
            assert!(!plan.contains("SCAN job") && !plan.contains("TEMP B-TREE"), "{sql}:\n{plan}");
        }
    }
}
