//! Jobs that ended without success, done again as new jobs: what has happened stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rrm_spec::{
    Dependents, JobId, JobRef, JobSpec, JobState, RequestId, Retried, RetryBegin, RetryWish, SubmissionId, TimeLimit,
};
use serde_json::{Value, json};

use crate::job::JobRow;
use crate::submission::next_job_id;
use crate::{StoreError, Tx, Write, caller, carry, event, job, names, request, sql};

/// Makes a new job for each of these that failed, was cancelled or skipped: with the same name, in the same plan, held by
/// nobody, and with all of its tries before it.
///
/// Where a job needs another, the new one needs the newest that does that other again. Jobs that were skipped because of the
/// named ones follow, where that is wished, the caller may change them, and all that they need can still succeed.
///
/// Fails with [`StoreError::NotFound`] where a job does not exist, with [`StoreError::Forbidden`] where the caller may not change one, and with [`StoreError::Precondition`] where one did not end
/// without success, was retried already, or needs one that has; nothing is changed then.
pub struct Retry {
    /// Chosen by the client and kept when it asks again.
    pub request: RequestId,
    /// Which.
    pub jobs: Vec<JobId>,
    /// How.
    pub wish: RetryWish,
}

impl Write for Retry {
    type Output = Vec<Retried>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<Retried>, StoreError> {
        let asked = ("retry", &self.jobs, self.wish);
        if let Some(answer) = request::answer(tx, &self.request, &asked)? {
            return Ok(answer);
        }
        let named: BTreeSet<JobId> = self.jobs.iter().copied().collect();
        let found = find_named(tx, &named)?;
        refuse_unretriable(&found)?;
        let ended = match self.wish.dependents {
            Dependents::Leave => found,
            Dependents::Retry => with_skipped(tx, found)?,
        };
        let drafts = self.drafts(tx, ended, &named)?;
        insert_jobs(tx, &drafts, self.wish.time_limit)?;
        insert_dependencies(tx, &drafts)?;
        let retried = self.carry_over(tx, &drafts)?;
        tell(tx, &drafts)?;
        tx.queued |= drafts.iter().any(|draft| draft.state == JobState::Queued);
        request::keep(tx, &self.request, &asked, &retried)?;
        Ok(retried)
    }
}

/// A job that has ended, and the one that does it again, where there is one.
struct Ended {
    row: JobRow,
    retried_as: Option<JobId>,
}

/// A job about to be made.
struct Draft {
    id: JobId,
    of: JobRow,
    ordinal: i64,
    /// Its spec, where references changed.
    spec: Option<String>,
    parents: Vec<JobId>,
    state: JobState,
    reason: Option<String>,
}

fn find_named(tx: &mut Tx<'_>, named: &BTreeSet<JobId>) -> Result<Vec<Ended>, StoreError> {
    let ids: Vec<JobId> = named.iter().copied().collect();
    let found = find(tx, &ids)?;
    let known: BTreeSet<JobId> = found.iter().map(|job| job.row.id).collect();
    let missing = names::first_few(named.difference(&known).map(|id| format!("job {id}")));
    if !missing.is_empty() {
        return Err(StoreError::not_found(missing));
    }
    let owned = found.iter().map(|Ended { row, .. }| (row.id, row.name.as_str(), row.owner.as_str()));
    caller::refuse_others(tx.caller.as_ref(), owned)?;
    Ok(found)
}

/// In the order of their ids.
fn find(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<Vec<Ended>, StoreError> {
    let rows = job::find_all(tx, ids)?;
    let later: HashMap<JobId, JobId> = retried_as(tx, ids)?;
    let rows: BTreeMap<JobId, JobRow> = rows.into_iter().collect();
    Ok(rows.into_iter().map(|(id, row)| Ended { row, retried_as: later.get(&id).copied() }).collect())
}

fn retried_as(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<HashMap<JobId, JobId>, StoreError> {
    let found: Vec<(i64, i64)> = sql::query_as(
        "select job.retry_of, job.job_id from json_each(?) named cross join job on job.retry_of = named.value",
    )
    .bind(serde_json::to_string(ids)?)
    .fetch_all(tx.connection)?;
    Ok(found.into_iter().map(|(of, id)| (JobId(of), JobId(id))).collect())
}

fn refuse_unretriable(jobs: &[Ended]) -> Result<(), StoreError> {
    let refused = jobs.iter().filter_map(|Ended { row, retried_as }| match (has_failed(row.state), retried_as) {
        (false, _) => Some(format!("job {} `{}` is {}", row.id, row.name, row.state)),
        (true, Some(later)) => Some(format!("job {} `{}` was retried already, as job {later}", row.id, row.name)),
        (true, None) => None,
    });
    match names::first_few(refused) {
        refused if refused.is_empty() => Ok(()),
        refused => Err(StoreError::Precondition {
            what: format!(
                "{refused}: only jobs that failed, were cancelled or skipped can be retried, each once; nothing was changed"
            ),
        }),
    }
}

fn has_failed(state: JobState) -> bool {
    match state {
        JobState::Failed | JobState::Cancelled | JobState::Skipped => true,
        JobState::Waiting | JobState::Queued | JobState::Running | JobState::Succeeded => false,
    }
}

/// With all that was skipped because of them, or of earlier tries at them, that has not been retried by itself and that the caller may
/// change: who retries a teacher does not decide about others' students.
fn with_skipped(tx: &mut Tx<'_>, named: Vec<Ended>) -> Result<Vec<Ended>, StoreError> {
    let ids: Vec<JobId> = named.iter().map(|job| job.row.id).collect();
    let behind: Vec<i64> = sql::query_scalar(
        "with recursive behind (job_id) as ( \
             select value from json_each(?) \
             union \
             select job.retry_of from behind cross join job on job.job_id = behind.job_id and job.retry_of is not null \
             union \
             select edge.job_id from behind cross join dependency edge on edge.parent_id = behind.job_id \
             cross join job on job.job_id = edge.job_id and job.state = 'skipped') \
         select job_id from behind",
    )
    .bind(serde_json::to_string(&ids)?)
    .fetch_all(tx.connection)?;
    let all: Vec<JobId> = behind.into_iter().map(JobId).collect();
    let found = find(tx, &all)?;
    let follows = |job: &Ended| job.retried_as.is_none() && caller::may_change(tx.caller.as_ref(), &job.row.owner);
    Ok(found.into_iter().filter(follows).collect())
}

impl Retry {
    /// The new jobs, in an order in which parents come first.
    fn drafts(&self, tx: &mut Tx<'_>, ended: Vec<Ended>, named: &BTreeSet<JobId>) -> Result<Vec<Draft>, StoreError> {
        let mut family = Family::of(tx, &ended)?;
        let mut ordinals = Ordinals::default();
        let mut next = next_job_id(tx)?;
        let mut drafts: Vec<Draft> = Vec::new();
        for row in family.parents_first(ended)? {
            let needs = family.needs(row.id);
            if let Some(dead) = needs.iter().find(|parent| has_failed(parent.state)) {
                match named.contains(&row.id) {
                    true => return Err(lacks_parent(&row, dead)),
                    // What it needs besides ended without success, too.
                    false => continue,
                }
            }
            let changed = family.wanted(row.id).iter().copied().zip(needs.iter().map(|it| it.id)).collect();
            let draft = draft(tx, JobId(next), row, &changed, &needs, &mut ordinals)?;
            next += 1;
            family.made.insert(draft.of.id, Newest { id: draft.id, name: draft.of.name.clone(), state: draft.state });
            drafts.push(draft);
        }
        Ok(drafts)
    }

    fn carry_over(&self, tx: &mut Tx<'_>, drafts: &[Draft]) -> Result<Vec<Retried>, StoreError> {
        let mut retried = Vec::with_capacity(drafts.len());
        for Draft { id, of, .. } in drafts {
            let resumes_after = match self.wish.begin {
                RetryBegin::Checkpoint if of.state != JobState::Skipped => carry::carry_over(tx, of.id, *id)?,
                // What was skipped never ran.
                RetryBegin::Checkpoint | RetryBegin::Scratch => 0,
            };
            retried.push(Retried { job: *id, retry_of: of.id, name: of.name.clone(), resumes_after });
        }
        Ok(retried)
    }
}

fn lacks_parent(job: &JobRow, parent: &Newest) -> StoreError {
    let what = format!(
        "job {} `{}` needs job {} `{}`, which is {}: retry that one, too, or that one with its dependents; nothing was changed",
        job.id, job.name, parent.id, parent.name, parent.state
    );
    StoreError::Precondition { what }
}

/// The newest job that does another one again, or that one itself.
#[derive(Clone)]
struct Newest {
    id: JobId,
    name: String,
    state: JobState,
}

/// What the jobs need, as it was, as it is, and as it will be.
struct Family {
    parents: HashMap<JobId, Vec<JobId>>,
    /// The newest try at each parent before this retry.
    newest: HashMap<JobId, Newest>,
    /// The new jobs, by those that they do again.
    made: HashMap<JobId, Newest>,
}

impl Family {
    fn of(tx: &mut Tx<'_>, ended: &[Ended]) -> Result<Self, StoreError> {
        let ids: Vec<JobId> = ended.iter().map(|job| job.row.id).collect();
        let parents = parents_of(tx, &ids)?;
        let newest = newest_of(tx, parents.values().flatten().copied().collect())?;
        Ok(Self { parents, newest, made: HashMap::new() })
    }

    /// What a job needed.
    fn wanted(&self, job: JobId) -> &[JobId] {
        self.parents.get(&job).map_or(&[], Vec::as_slice)
    }

    /// What it needs now, in the same order.
    fn needs(&self, job: JobId) -> Vec<Newest> {
        let newest = self.wanted(job).iter().map(|parent| &self.newest[parent]);
        newest.map(|before| self.made.get(&before.id).unwrap_or(before).clone()).collect()
    }

    /// A later try at a parent may be younger than a child that was skipped long ago: ids alone give no order.
    fn parents_first(&self, ended: Vec<Ended>) -> Result<Vec<JobRow>, StoreError> {
        let mut open: BTreeSet<JobId> = ended.iter().map(|job| job.row.id).collect();
        let mut pending: Vec<JobRow> = ended.into_iter().map(|job| job.row).collect();
        let mut ordered = Vec::with_capacity(pending.len());
        while !pending.is_empty() {
            let is_free = |row: &JobRow| self.needs(row.id).iter().all(|parent| !open.contains(&parent.id));
            let (free, waiting): (Vec<_>, Vec<_>) = pending.into_iter().partition(is_free);
            if free.is_empty() {
                return Err(StoreError::internal("jobs need each other in a circle"));
            }
            for row in &free {
                open.remove(&row.id);
            }
            ordered.extend(free);
            pending = waiting;
        }
        Ok(ordered)
    }
}

fn draft(
    tx: &mut Tx<'_>,
    id: JobId,
    of: JobRow,
    changed: &HashMap<JobId, JobId>,
    needs: &[Newest],
    ordinals: &mut Ordinals,
) -> Result<Draft, StoreError> {
    let spec = match changed.iter().any(|(before, now)| before != now) {
        true => Some(serde_json::to_string(&redirected(job::spec_of(tx, of.id)?, changed))?),
        false => None,
    };
    let open = needs.iter().find(|parent| parent.state != JobState::Succeeded);
    let (state, reason) = match open {
        Some(parent) => (JobState::Waiting, Some(format!("waits for job {}", parent.id))),
        None => (JobState::Queued, None),
    };
    let ordinal = ordinals.next(tx, of.submission)?;
    let mut parents: Vec<JobId> = needs.iter().map(|parent| parent.id).collect();
    parents.sort_unstable();
    parents.dedup();
    Ok(Draft { id, of, ordinal, spec, parents, state, reason })
}

fn redirected(mut spec: JobSpec, changed: &HashMap<JobId, JobId>) -> JobSpec {
    for parent in spec.needs_mut() {
        if let JobRef::Id(id) = parent
            && let Some(now) = changed.get(id)
        {
            *parent = JobRef::Id(*now);
        }
    }
    spec
}

/// The next free place in each plan.
#[derive(Default)]
struct Ordinals(HashMap<SubmissionId, i64>);

impl Ordinals {
    fn next(&mut self, tx: &mut Tx<'_>, submission: SubmissionId) -> Result<i64, StoreError> {
        let next = match self.0.get(&submission) {
            Some(next) => *next,
            None => first_free(tx, submission)?,
        };
        self.0.insert(submission, next + 1);
        Ok(next)
    }
}

fn first_free(tx: &mut Tx<'_>, submission: SubmissionId) -> Result<i64, StoreError> {
    sql::query_scalar(
        "select 1 + max(coalesce((select max(ordinal) from job where submission_id = ?1), -1), \
             coalesce((select max(ordinal) from reuse where submission_id = ?1), -1))",
    )
    .bind(submission.0)
    .fetch_one(tx.connection)
}

fn parents_of(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<HashMap<JobId, Vec<JobId>>, StoreError> {
    let found: Vec<(i64, i64)> = sql::query_as(
        "select edge.job_id, edge.parent_id from json_each(?) named cross join dependency edge on edge.job_id = named.value \
         order by 1, 2",
    )
    .bind(serde_json::to_string(ids)?)
    .fetch_all(tx.connection)?;
    let mut parents: HashMap<JobId, Vec<JobId>> = HashMap::new();
    for (job, parent) in found {
        parents.entry(JobId(job)).or_default().push(JobId(parent));
    }
    Ok(parents)
}

fn newest_of(tx: &mut Tx<'_>, ids: BTreeSet<JobId>) -> Result<HashMap<JobId, Newest>, StoreError> {
    let found: Vec<(i64, i64, String, String)> = sql::query_as(
        "with recursive chain (origin, job_id) as ( \
             select value, value from json_each(?) \
             union all \
             select chain.origin, job.job_id from chain cross join job on job.retry_of = chain.job_id) \
         select newest.origin, job.job_id, job.name, job.state \
         from (select origin, max(job_id) as job_id from chain group by origin) newest \
         cross join job on job.job_id = newest.job_id",
    )
    .bind(serde_json::to_string(&ids)?)
    .fetch_all(tx.connection)?;
    let newest = |(origin, id, name, state): (i64, i64, String, String)| {
        Ok((JobId(origin), Newest { id: JobId(id), name, state: names::state(&state)? }))
    };
    found.into_iter().map(newest).collect()
}

fn insert_jobs(tx: &mut Tx<'_>, drafts: &[Draft], time_limit: Option<TimeLimit>) -> Result<(), StoreError> {
    let rows: Vec<Value> = drafts.iter().map(row).collect();
    sql::query(
        "insert into job (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, \
             epochs_total, max_retries, crash_limit, state, reason, created_at, queued_at, content_key, \
             owner, demand_id, time_limit_s, retry_of) \
         select value ->> 'id', submission_id, value ->> 'ordinal', name, kind, dataset, \
             coalesce(value ->> 'spec', spec), device_request, priority, epochs_total, max_retries, crash_limit, \
             value ->> 'state', value ->> 'reason', ?1, iif(value ->> 'state' = 'queued', ?1, null), content_key, \
             owner, demand_id, \
             coalesce(?2, time_limit_s), job_id \
         from json_each(?3) cross join job on job_id = value ->> 'of'",
    )
    .bind(tx.now)
    .bind(time_limit.map(TimeLimit::seconds))
    .bind(Value::Array(rows).to_string())
    .execute(tx.connection)?;
    Ok(())
}

fn row(draft: &Draft) -> Value {
    json!({
        "id": draft.id,
        "of": draft.of.id,
        "ordinal": draft.ordinal,
        "spec": draft.spec,
        "state": draft.state,
        "reason": draft.reason,
    })
}

fn insert_dependencies(tx: &mut Tx<'_>, drafts: &[Draft]) -> Result<(), StoreError> {
    let edges = drafts.iter().flat_map(|draft| draft.parents.iter().map(|parent| [draft.id, *parent]));
    job::insert_dependencies(tx, &edges.collect::<Vec<_>>())
}

/// The new jobs' first states, and both ends of each retry.
fn tell(tx: &mut Tx<'_>, drafts: &[Draft]) -> Result<(), StoreError> {
    let state = |draft: &Draft| (draft.id, json!({ "from": null, "to": draft.state, "reason": draft.reason }));
    event::add_each(tx, "job.state", &drafts.iter().map(state).collect::<Vec<_>>())?;
    let ends = |draft: &Draft| {
        [(draft.of.id, json!({ "retried_as": draft.id })), (draft.id, json!({ "retry_of": draft.of.id }))]
    };
    event::add_each(tx, "job.retry", &drafts.iter().flat_map(ends).collect::<Vec<_>>())
}
