//! Looking for jobs by a piece of text.

use rrm_spec::{JobId, JobState, SubmissionId};
use rusqlite::Connection;

use crate::{Store, StoreError, sql};

/// Jobs that one search looks through: no index helps to find a piece of a name, and other readers wait meanwhile.
const LOOKED_THROUGH: u32 = 20_000;

/// A question for jobs whose name, plan, dataset or reason contains a text, capital or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The text.
    pub text: String,
    /// Only jobs in one of these states; empty = any.
    pub states: Vec<JobState>,
    /// Only jobs of this plan.
    pub submission: Option<SubmissionId>,
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Jobs, newest first.
    pub jobs: Vec<JobId>,
    /// Where to go on, if there may be more: the oldest job that was looked at.
    pub next: Option<JobId>,
}

/// The newest jobs before one, and of these those that fit. `instr` takes the text as it is, with no wild cards.
const SEARCH: &str = "with looked as materialized (select * from job where job_id < ?1 order by job_id desc limit ?2) \
    select job_id, count(*) over () from looked join submission using (submission_id) \
    where (instr(lower(looked.name), lower(?3)) or instr(lower(submission.name), lower(?3)) \
           or instr(lower(looked.dataset), lower(?3)) or instr(lower(coalesce(looked.reason, '')), lower(?3))) \
      and (?4 is null or submission_id = ?4) \
      and (json_array_length(?5) = 0 or looked.state in (select value from json_each(?5))) \
    order by job_id desc limit ?6";

impl Store {
    /// Looks through the newest twenty thousand jobs that there are before [`Search::before`].
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn search(&self, search: &Search) -> Result<Found, StoreError> {
        let search = search.clone();
        self.readers
            .at_one_moment(move |reader| {
                let before = search.before.map_or(i64::MAX, |id| id.0);
                let states: Vec<&str> = search.states.iter().map(|state| state.name()).collect();
                let found: Vec<(i64, i64)> = sql::query_as(SEARCH)
                    .bind(before)
                    .bind(LOOKED_THROUGH)
                    .bind(&search.text)
                    .bind(search.submission.map(|id| id.0))
                    .bind(serde_json::to_string(&states)?)
                    .bind(search.limit)
                    .fetch_all(reader)?;
                let is_cut = found.first().is_some_and(|(_, all)| *all > i64::from(search.limit));
                let next = match is_cut {
                    true => found.last().map(|(id, _)| *id),
                    false => oldest_looked_at(reader, before)?,
                };
                Ok(Found { jobs: found.into_iter().map(|(id, _)| JobId(id)).collect(), next: next.map(JobId) })
            })
            .await
    }
}

/// The last job that a search before `before` looks at, unless there is no older one.
fn oldest_looked_at(connection: &Connection, before: i64) -> Result<Option<i64>, StoreError> {
    let found: Option<i64> =
        sql::query_scalar("select job_id from job where job_id < ? order by job_id desc limit 1 offset ?")
            .bind(before)
            .bind(LOOKED_THROUGH - 1)
            .fetch_optional(connection)?;
    let Some(oldest) = found else { return Ok(None) };
    let more = sql::query_scalar("select exists (select 1 from job where job_id < ?)").bind(oldest);
    more.fetch_one(connection).map(|more: bool| more.then_some(oldest))
}
