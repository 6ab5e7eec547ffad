//! Plans as they are read back: lists of them, and how their jobs depend on each other.

use std::collections::BTreeMap;

use rrm_spec::{JobId, JobState, SubmissionId, UserName};
use rusqlite::Connection;

use crate::{Store, StoreError, names, sql, usage};

/// Which plans to list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanFilter {
    /// Only plans older than this one.
    pub before: Option<SubmissionId>,
    /// At most so many.
    pub limit: u32,
}

/// A plan as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanView {
    /// Its id.
    pub id: SubmissionId,
    /// Its name.
    pub name: String,
    /// The machine that it was submitted from.
    pub host: String,
    /// When, in microseconds since the Unix epoch.
    pub created_at: i64,
    /// Its own jobs by state; states without jobs are left out.
    pub jobs: BTreeMap<&'static str, u64>,
    /// Jobs that an earlier plan had done.
    pub reused: u64,
}

/// The plan that somebody means by the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPlan {
    /// Its id.
    pub id: SubmissionId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: UserName,
}

/// A job needs another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The one that waits.
    pub job: JobId,
    /// The one that must have succeeded before.
    pub parent: JobId,
}

type PlanRow = (i64, String, String, i64, i64);

/// Along an index from its end, so that it costs the same however many plans there are.
const LAST_OF_OWNER: &str =
    "select submission_id, name, owner from submission where owner = ? order by submission_id desc limit 1";

const LAST: &str = "select submission_id, name, owner from submission order by submission_id desc limit 1";

const NEXT_IN_LINE: &str =
    "select job_id from job where state = 'queued' and held = 0 order by priority desc, job_id limit ?";

impl Store {
    /// Plans, newest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn plans(&self, filter: PlanFilter) -> Result<Vec<PlanView>, StoreError> {
        // One transaction, so that no job is counted in two states.
        self.readers
            .at_one_moment(move |reader| {
                let found: Vec<PlanRow> = sql::query_as(
                    "select submission_id, name, host, created_at, \
                 (select count(*) from reuse where reuse.submission_id = submission.submission_id) \
             from submission where submission_id < ? order by submission_id desc limit ?",
                )
                .bind(filter.before.map_or(i64::MAX, |id| id.0))
                .bind(filter.limit)
                .fetch_all(reader)?;
                let mut plans = Vec::with_capacity(found.len());
                for row in found {
                    plans.push(with_counts(reader, row)?);
                }
                Ok(plans)
            })
            .await
    }

    /// One plan.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none, others where the database cannot be read.
    pub async fn plan(&self, id: SubmissionId) -> Result<PlanView, StoreError> {
        let filter = PlanFilter { before: Some(SubmissionId(id.0.saturating_add(1))), limit: 1 };
        let found = self.plans(filter).await?.pop().filter(|plan| plan.id == id);
        found.ok_or_else(|| StoreError::not_found(format!("submission {id}")))
    }

    /// The newest plan of this owner, or of anybody; none where there is none.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn last_plan(&self, owner: Option<&UserName>) -> Result<Option<LastPlan>, StoreError> {
        let query = match owner {
            Some(owner) => sql::query_as(LAST_OF_OWNER).bind(owner.as_str()),
            None => sql::query_as(LAST),
        };
        let found: Option<(i64, String, String)> = query.fetch_optional(&self.readers).await?;
        let last = |(id, name, owner)| Ok(LastPlan { id: SubmissionId(id), name, owner: usage::name(owner)? });
        found.map(last).transpose()
    }

    /// How these jobs depend on others, in the order of their ids.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn edges(&self, jobs: &[JobId]) -> Result<Vec<Edge>, StoreError> {
        let found: Vec<(i64, i64)> = sql::query_as(
            "select job_id, parent_id from dependency where job_id in (select value from json_each(?)) order by 1, 2",
        )
        .bind(serde_json::to_string(jobs)?)
        .fetch_all(&self.readers)
        .await?;
        Ok(found.into_iter().map(|(job, parent)| Edge { job: JobId(job), parent: JobId(parent) }).collect())
    }

    /// The jobs that need this one, in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn children(&self, job: JobId, limit: u32) -> Result<Vec<JobId>, StoreError> {
        let found: Vec<i64> =
            sql::query_scalar("select job_id from dependency where parent_id = ? order by job_id limit ?")
                .bind(job.0)
                .bind(limit)
                .fetch_all(&self.readers)
                .await?;
        Ok(found.into_iter().map(JobId).collect())
    }

    /// The jobs that are to be handed out next, at most `limit`, in the order of priority and age. Held ones are not; those that pause
    /// after an error are.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn next_in_line(&self, limit: u32) -> Result<Vec<JobId>, StoreError> {
        let found: Vec<i64> = sql::query_scalar(NEXT_IN_LINE).bind(limit).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(JobId).collect())
    }
}

fn with_counts(connection: &Connection, row: PlanRow) -> Result<PlanView, StoreError> {
    let (id, name, host, created_at, reused) = row;
    let found: Vec<(String, i64)> =
        sql::query_as("select state, count(*) from job where submission_id = ? group by +state")
            .bind(id)
            .fetch_all(connection)?;
    let mut jobs = BTreeMap::new();
    for (state, count) in found {
        let state: JobState = names::state(&state)?;
        jobs.insert(state.name(), names::unsigned(count)?);
    }
    Ok(PlanView { id: SubmissionId(id), name, host, created_at, jobs, reused: names::unsigned(reused)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open;

    #[tokio::test]
    async fn the_last_plan_is_found_without_looking_through_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (_writer, readers) = open::open(&folder.path().join("rrm.db")).unwrap();
        let of_owner = open::plan_of(&readers, LAST_OF_OWNER).await;
        assert!(of_owner.contains("SEARCH submission USING INDEX submission_owner (owner=?)"), "{of_owner}");
        // Backwards along the table itself: the first step is the answer.
        let of_anybody = open::plan_of(&readers, LAST).await;
        for plan in [of_owner, of_anybody] {
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
