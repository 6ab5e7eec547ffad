//! Jobs: finding them, and moving them from state to state.

use std::collections::HashMap;

use rrm_spec::{
    ArtifactHash, AttemptId, JobId, JobKind, JobSpec, JobState, ParseIdError, RetryBudget, Stop, SubmissionId,
    TimeLimit, Transition,
};
use rusqlite::Row;
use serde_json::json;

use crate::event::Of;
use crate::sql::FromRow;
use crate::{StoreError, Tx, caller, event, names, sql};

/// What the state machine needs to know of a job.
#[derive(Clone)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) submission: SubmissionId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) kind: JobKind,
    pub(crate) dataset: String,
    pub(crate) epochs_total: u32,
    pub(crate) state: JobState,
    pub(crate) stop: Option<Stop>,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) budget: RetryBudget,
    /// How long one attempt may take.
    pub(crate) time_limit: Option<TimeLimit>,
    /// What was asked for, where that is known.
    pub(crate) content_key: Option<ArtifactHash>,
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

impl FromRow for JobRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: JobId(row.get("job_id")?),
            submission: SubmissionId(row.get("submission_id")?),
            name: row.get("name")?,
            owner: row.get("owner")?,
            kind: names::kind(sql::text(row, "kind")?)?,
            dataset: row.get("dataset")?,
            epochs_total: row.get("epochs_total")?,
            state: names::state(sql::text(row, "state")?)?,
            stop: names::stop(sql::optional_text(row, "stop")?)?,
            attempt: row.get::<_, Option<i64>>("attempt_id")?.map(AttemptId),
            budget: RetryBudget {
                retries: row.get("retries")?,
                max_retries: row.get("max_retries")?,
                crashes: row.get("crashes")?,
                crash_limit: row.get("crash_limit")?,
            },
            time_limit: names::time_limit(row.get("time_limit_s")?)?,
            content_key: optional_hash(row, "content_key")?,
        })
    }
}

/// Reads a hash that may be absent.
pub(crate) fn optional_hash(row: &Row<'_>, column: &str) -> Result<Option<ArtifactHash>, StoreError> {
    let hash = sql::optional_text(row, column)?.map(str::parse).transpose();
    hash.map_err(|error: ParseIdError| StoreError::internal(error))
}

pub(crate) fn find(tx: &mut Tx<'_>, id: JobId) -> Result<Option<JobRow>, StoreError> {
    sql::query_as("select * from job where job_id = ?").bind(id.0).fetch_optional(tx.connection)
}

pub(crate) fn get(tx: &mut Tx<'_>, id: JobId) -> Result<JobRow, StoreError> {
    find(tx, id)?.ok_or_else(|| StoreError::not_found(format!("job {id}")))
}

pub(crate) fn spec_of(tx: &mut Tx<'_>, id: JobId) -> Result<JobSpec, StoreError> {
    let text: String =
        sql::query_scalar("select spec from job where job_id = ?").bind(id.0).fetch_one(tx.connection)?;
    Ok(serde_json::from_str(&text)?)
}

/// Of these jobs those that exist, by their ids.
pub(crate) fn find_all(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<HashMap<JobId, JobRow>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<JobRow> =
        sql::query_as("select * from job where job_id in (select value from json_each(?)) order by job_id")
            .bind(serde_json::to_string(ids)?)
            .fetch_all(tx.connection)?;
    Ok(found.into_iter().map(|job| (job.id, job)).collect())
}

/// Where a job stands.
pub(crate) struct Standing {
    pub(crate) id: JobId,
    pub(crate) name: String,
    pub(crate) state: JobState,
    pub(crate) stop: Option<Stop>,
}

/// An id that was asked for; and of the job, where there is one, name, state, stop and owner.
type StandingRow = (i64, Option<String>, Option<String>, Option<String>, Option<String>);

/// Where these jobs stand that a caller wants to change, each once and in the order of their ids.
///
/// # Errors
/// [`StoreError::NotFound`] with the ids that do not exist, and [`StoreError::Forbidden`] with the jobs that the caller may not change.
pub(crate) fn standings(tx: &mut Tx<'_>, mut ids: Vec<JobId>) -> Result<Vec<Standing>, StoreError> {
    ids.sort_unstable();
    ids.dedup();
    let found: Vec<StandingRow> = sql::query_as(
        "select named.value, job.name, job.state, job.stop, job.owner \
         from json_each(?) named left join job on job.job_id = named.value order by named.key",
    )
    .bind(serde_json::to_string(&ids)?)
    .fetch_all(tx.connection)?;
    let missing = found.iter().filter(|(_, name, ..)| name.is_none()).map(|(id, ..)| format!("job {id}"));
    let missing = names::first_few(missing);
    if !missing.is_empty() {
        return Err(StoreError::not_found(missing));
    }
    let owned =
        found.iter().filter_map(|(id, name, _, _, owner)| Some((JobId(*id), name.as_deref()?, owner.as_deref()?)));
    caller::refuse_others(tx.caller.as_ref(), owned)?;
    let standing = |(id, name, state, stop, _): StandingRow| {
        let stop = names::stop(stop.as_deref())?;
        Ok(Standing { stop, ..standing(id, name.unwrap_or_default(), &state.unwrap_or_default())? })
    };
    found.into_iter().map(standing).collect()
}

fn standing(id: i64, name: String, state: &str) -> Result<Standing, StoreError> {
    Ok(Standing { id: JobId(id), name, state: names::state(state)?, stop: None })
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "job {} `{}`", self.id, self.name)
    }
}

/// Refuses where some of the jobs are not in a state in which something can be done with them.
///
/// # Errors
/// [`StoreError::Precondition`] that names these jobs and their states, and says what could be done.
pub(crate) fn refuse_unless(
    jobs: &[Standing],
    is_allowed: impl Fn(&Standing) -> bool,
    allowed: &str,
) -> Result<(), StoreError> {
    let refused = jobs.iter().filter(|job| !is_allowed(job)).map(|job| match job.stop {
        Some(Stop::Cancel) if job.state == JobState::Running => format!("{job} is being cancelled"),
        _ => format!("{job} is {}", job.state),
    });
    match names::first_few(refused) {
        refused if refused.is_empty() => Ok(()),
        refused => Err(StoreError::Precondition { what: format!("{refused}: {allowed}; nothing was changed") }),
    }
}

/// Stores edges: pairs of a job and one that it needs.
pub(crate) fn insert_dependencies(tx: &mut Tx<'_>, edges: &[[JobId; 2]]) -> Result<(), StoreError> {
    if edges.is_empty() {
        return Ok(());
    }
    sql::query("insert into dependency (job_id, parent_id) select value ->> 0, value ->> 1 from json_each(?)")
        .bind(serde_json::to_string(edges)?)
        .execute(tx.connection)?;
    Ok(())
}

/// Jobs that waited for this one alone.
pub(crate) fn freed_by(tx: &mut Tx<'_>, parent: JobId) -> Result<Vec<JobId>, StoreError> {
    let found: Vec<i64> = sql::query_scalar(
        "select child.job_id from dependency edge cross join job child on child.job_id = edge.job_id \
         where edge.parent_id = ? and child.state = 'waiting' and not exists ( \
             select 1 from dependency other join job parent on parent.job_id = other.parent_id \
             where other.job_id = child.job_id and parent.state <> 'succeeded') \
         order by child.job_id",
    )
    .bind(parent.0)
    .fetch_all(tx.connection)?;
    Ok(found.into_iter().map(JobId).collect())
}

/// Jobs that wait, directly or through others, for one of these, each with its first parent among them.
///
/// The joins are crossed, which tells SQLite to keep their order: left to itself it looks through all waiting jobs for every
/// one that has ended.
pub(crate) fn waiting_behind(tx: &mut Tx<'_>, ended: &[JobId]) -> Result<Vec<(JobId, Standing)>, StoreError> {
    let found: Vec<(i64, i64, String, String)> = sql::query_as(
        "with recursive behind (job_id, parent_id) as ( \
             select edge.job_id, edge.parent_id from json_each(?) ended \
             cross join dependency edge on edge.parent_id = ended.value \
             cross join job on job.job_id = edge.job_id and job.state = 'waiting' \
             union \
             select edge.job_id, edge.parent_id from behind \
             cross join dependency edge on edge.parent_id = behind.job_id \
             cross join job on job.job_id = edge.job_id and job.state = 'waiting') \
         select child.job_id, parent.job_id, parent.name, parent.state \
         from (select job_id, min(parent_id) as parent_id from behind group by job_id) child \
         cross join job parent on parent.job_id = child.parent_id order by child.job_id",
    )
    .bind(serde_json::to_string(ended)?)
    .fetch_all(tx.connection)?;
    found.into_iter().map(|(child, id, name, state)| Ok((JobId(child), standing(id, name, &state)?))).collect()
}

/// A step of the state machine.
pub(crate) struct Step {
    pub(crate) transition: Transition,
    /// The attempt that makes the job run.
    pub(crate) attempt: Option<AttemptId>,
    /// The wish that ended the job, where one did; any other one has had its day.
    pub(crate) stop: Option<Stop>,
    pub(crate) reason: Option<String>,
}

impl Step {
    pub(crate) fn new(transition: Transition) -> Self {
        Self { transition, attempt: None, stop: None, reason: None }
    }

    pub(crate) fn because(transition: Transition, reason: impl Into<Option<String>>) -> Self {
        Self { reason: reason.into(), ..Self::new(transition) }
    }
}

/// Moves a job, as far as the state machine allows it, and tells of it.
pub(crate) fn take(tx: &mut Tx<'_>, job: &JobRow, step: Step) -> Result<JobState, StoreError> {
    let what = |error| StoreError::Precondition { what: format!("job {} `{}`: {error}", job.id, job.name) };
    let state = job.state.after(step.transition).map_err(what)?;
    set_state(tx, job, state, &step)?;
    tx.queued |= state == JobState::Queued;
    let data = json!({ "from": job.state.name(), "to": state.name(), "reason": step.reason });
    let of = Of { attempt: step.attempt.or(job.attempt), ..job.event() };
    event::add(tx, "job.state", of, data)?;
    Ok(state)
}

fn set_state(tx: &mut Tx<'_>, job: &JobRow, state: JobState, step: &Step) -> Result<(), StoreError> {
    let updated = sql::query(
        "update job set \
             state = ?1, attempt_id = ?2, reason = ?3, stop = ?8, held = iif(?5, 0, held), \
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
    .bind(step.stop.map(Stop::name))
    .execute(tx.connection)?;
    match updated.rows_affected {
        1 => Ok(()),
        _ => Err(StoreError::internal(format!("job {} is not {}", job.id, job.state))),
    }
}

/// One of many jobs that make the same step.
pub(crate) struct Move {
    pub(crate) id: JobId,
    /// Where it stands; it does not run.
    pub(crate) state: JobState,
    pub(crate) reason: Option<String>,
}

/// Moves jobs that do not run, as far as the state machine allows it, and tells of them in order.
///
/// Two statements for all of them, since everybody else waits for the writer meanwhile.
pub(crate) fn take_all(tx: &mut Tx<'_>, transition: Transition, moves: &[Move]) -> Result<(), StoreError> {
    let Some(state) = state_after(transition, moves)? else { return Ok(()) };
    let rows = serde_json::to_string(&moves.iter().map(|it| (it.id, &it.reason)).collect::<Vec<_>>())?;
    event::add_states(tx, state, &rows)?;
    let moved = set_states(tx, state, &rows)?;
    tx.queued |= state == JobState::Queued;
    match moved == moves.len() as u64 {
        true => Ok(()),
        false => Err(StoreError::internal(format!("{moved} of {} jobs became {state}", moves.len()))),
    }
}

/// The state that all come to; none where there are no jobs.
fn state_after(transition: Transition, moves: &[Move]) -> Result<Option<JobState>, StoreError> {
    let mut common = None;
    for Move { id, state, .. } in moves {
        let refused = |error| StoreError::Precondition { what: format!("job {id}: {error}") };
        let state = state.after(transition).map_err(refused)?;
        if *common.get_or_insert(state) != state {
            return Err(StoreError::internal(format!("{transition:?} leads to more than one state")));
        }
    }
    Ok(common)
}

/// `rows` is JSON: pairs of id and reason.
fn set_states(tx: &mut Tx<'_>, state: JobState, rows: &str) -> Result<u64, StoreError> {
    let updated = sql::query(
        "update job set \
             state = ?1, reason = move.value ->> 1, held = iif(?3, 0, held), \
             queued_at = iif(?1 = 'queued', ?2, queued_at), ended_at = iif(?3, ?2, null) \
         from json_each(?4) move where job.job_id = move.value ->> 0",
    )
    .bind(state.name())
    .bind(tx.now)
    .bind(state.is_terminal())
    .bind(rows)
    .execute(tx.connection)?;
    Ok(updated.rows_affected)
}

/// Asks those of these jobs that run to stop, once; of two wishes the one that holds is kept. Tells which were asked.
pub(crate) fn stop_all(tx: &mut Tx<'_>, ids: &[JobId], stop: Stop) -> Result<(), StoreError> {
    let asked: Vec<i64> = sql::query_scalar(
        "update job set stop = ?1 \
         where job_id in (select value from json_each(?2)) and state = 'running' and coalesce(stop, '') not in (?1, 'cancel') \
         returning job_id",
    )
    .bind(stop.name())
    .bind(serde_json::to_string(ids)?)
    .fetch_all(tx.connection)?;
    let asked: Vec<_> = asked.into_iter().map(|id| (JobId(id), json!({ "stop": stop.name() }))).collect();
    event::add_each(tx, "job.stop", &asked)
}

/// Which of these jobs run.
pub(crate) fn running(jobs: &[Standing]) -> Vec<JobId> {
    jobs.iter().filter(|job| job.state == JobState::Running).map(|job| job.id).collect()
}

/// Counts a retry or a crash, and holds the job back until `not_before`.
pub(crate) fn count_try(
    tx: &mut Tx<'_>,
    job: JobId,
    budget: RetryBudget,
    not_before: Option<i64>,
) -> Result<(), StoreError> {
    sql::query("update job set retries = ?, crashes = ?, not_before = ? where job_id = ?")
        .bind(budget.retries)
        .bind(budget.crashes)
        .bind(not_before)
        .bind(job.0)
        .execute(tx.connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_move_together_are_all_asked_for_their_leave() {
        let job = |id, state| Move { id: JobId(id), state, reason: None };
        let idle = [job(1, JobState::Waiting), job(2, JobState::Queued)];
        assert_eq!(state_after(Transition::Cancel, &idle).unwrap(), Some(JobState::Cancelled));
        assert_eq!(state_after(Transition::Cancel, &[]).unwrap(), None);
        let mixed = [job(1, JobState::Waiting), job(2, JobState::Succeeded)];
        assert!(matches!(state_after(Transition::Skip, &mixed), Err(StoreError::Precondition { .. })));
    }
}
