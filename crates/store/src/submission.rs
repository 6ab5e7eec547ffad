//! Plans: a whole graph of jobs in one transaction, once per request.

use std::collections::{HashMap, HashSet};

use rrm_spec::{
    ArtifactHash, ArtifactRef, Demand, JobId, JobRef, JobSpec, JobState, ModelSource, Need, Plan, PlannedJob,
    RequestId, SubmissionId, TimeLimit, UserName, Violation, Violations,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::event::Of;
use crate::fleet::Lack;
use crate::job::JobRow;
use crate::reuse::{Finished, Reuse, Reused};
use crate::{StoreError, Tx, Write, content_key, demand, event, fleet, import, job, names, reuse, sql};

/// Unexplained losses after which a job fails, so that a job that kills its worker cannot kill them all.
const CRASH_LIMIT: u32 = 5;

/// Stores a valid plan: all of its jobs or none.
pub struct Submit {
    /// Chosen by the client and kept when it asks again.
    pub request: RequestId,
    /// What is to be done.
    pub plan: Plan,
    /// Version of the client, for provenance.
    pub client_version: String,
    /// Machine of the client, for provenance.
    pub host: String,
    /// Whether what has been done before is done again.
    pub reuse: Reuse,
    /// Whose it is.
    pub owner: UserName,
    /// What becomes of jobs that no worker could ever run.
    pub strict: Strict,
}

/// What becomes of a plan with jobs that no registered worker could ever run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strict {
    /// It is refused.
    Yes,
    /// Its jobs wait for such a worker.
    No,
}

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub submission: SubmissionId,
    /// Its jobs, in the plan's order; of those that were done before the earlier job's id, and the name that the plan has for it.
    pub jobs: Vec<(JobId, String)>,
    /// Those that were done before.
    pub reused: Vec<JobId>,
    /// How many others were done before, but by other code, of other images, on another device, or what was made is gone; not told again
    /// where an earlier request had stored the plan.
    pub outdated: usize,
    /// Whether an earlier request had stored it.
    pub already: bool,
}

impl Write for Submit {
    type Output = Submitted;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Submitted, StoreError> {
        let sha256 = hex::encode(Sha256::digest(serde_json::to_vec(&self.plan)?));
        if let Some((submission, earlier)) = by_request(tx, &self.request)? {
            return match earlier == sha256 {
                true => stored(tx, submission),
                false => Err(StoreError::conflict(format!(
                    "request {} has already submitted another plan: stored {earlier}, now {sha256}",
                    self.request.as_str()
                ))),
            };
        }
        let demands: Vec<Demand> = self.plan.jobs.iter().map(PlannedJob::demand).collect();
        if self.strict == Strict::Yes {
            refuse_unmet(tx, &self.plan, &demands)?;
        }
        let parents = outer_parents(tx, &self.plan)?;
        let artifacts = import::resolve(tx, &self.plan)?;
        let submission = insert(tx, &self, &sha256)?;
        let known = Known { parents: &parents, artifacts: &artifacts };
        let asked = asked(&self.plan, &known);
        // In the transaction that stores the plan: what is found here is not collected or lost before the plan refers to it.
        let finished = match self.reuse {
            Reuse::Yes => Finished::of(tx.connection, &asked)?,
            Reuse::No => Finished::default(),
        };
        let places = Places::of(&asked, next_job_id(tx)?, &finished);
        let drafts = places.drafts(&asked, &known)?;
        let demands = demand::intern(tx, &demands)?;
        insert_jobs(tx, submission, &self.owner, &drafts, &demands)?;
        insert_dependencies(tx, &drafts)?;
        reuse::insert(tx, submission, &places.reused)?;
        let data = json!({ "plan": self.plan.name, "jobs": drafts.len(), "reused": places.reused.len() });
        event::add(tx, "submission", Of { submission: Some(submission), ..Of::default() }, data)?;
        event::add_first_states(tx, submission)?;
        tx.queued |= drafts.iter().any(|draft| draft.state == JobState::Queued);
        let jobs = self.plan.jobs.iter().map(|job| (places.ids[job.name.as_str()], job.name.clone())).collect();
        let reused = places.reused.iter().map(|it| it.job).collect();
        Ok(Submitted { submission, jobs, reused, outdated: finished.outdated, already: false })
    }
}

/// Refuses jobs that no registered worker could ever run, and says what each of them lacks.
fn refuse_unmet(tx: &mut Tx<'_>, plan: &Plan, demands: &[Demand]) -> Result<(), StoreError> {
    let fleet = fleet::registered(tx.connection)?;
    let mut lacks: Vec<(&Demand, Option<Lack>)> = Vec::new();
    for demand in demands {
        if !lacks.iter().any(|(known, _)| *known == demand) {
            lacks.push((demand, fleet::lack(&fleet, demand)));
        }
    }
    let refused = names::first_few(plan.jobs.iter().zip(demands).filter_map(|(job, demand)| {
        let (_, lack) = lacks.iter().find(|(known, _)| *known == demand)?;
        Some(format!("`{}` (it asks for {demand}, but {})", job.name, lack.as_ref()?))
    }));
    match refused.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Precondition { what: format!("no registered worker could ever run {refused}") }),
    }
}

/// A job of a plan as it is asked for.
pub(crate) struct Asked<'p> {
    pub(crate) job: &'p PlannedJob,
    /// Its spec with hashes in place of artifacts' names; jobs of the plan have their names.
    pub(crate) spec: JobSpec,
    pub(crate) content_key: Option<ArtifactHash>,
}

/// A job about to be stored, with its edges resolved.
struct Draft<'p> {
    id: JobId,
    /// Its place in the plan.
    ordinal: u32,
    asked: &'p Asked<'p>,
    spec: String,
    parents: Vec<JobId>,
    state: JobState,
    reason: Option<String>,
}

/// The jobs outside of the plan to which it refers.
///
/// Faults of the plan come first and all at once, then what does not exist, then what has ended.
fn outer_parents(tx: &mut Tx<'_>, plan: &Plan) -> Result<HashMap<JobId, JobRow>, StoreError> {
    let edges: Vec<(&PlannedJob, Need<'_>, JobId)> = plan.jobs.iter().flat_map(outer_edges).collect();
    let found = job::find_all(tx, &edges.iter().map(|(_, _, id)| *id).collect::<Vec<_>>())?;
    let (mut faults, mut missing, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (planned, need, id) in edges {
        let Some(parent) = found.get(&id) else {
            missing.push(format!("job {id} (named by `{}`)", planned.name));
            continue;
        };
        faults.extend(edge_fault(planned, need, parent));
        if parent.state.is_terminal() && parent.state != JobState::Succeeded {
            ended.push(format!("`{}` needs job {id} `{}` ({})", planned.name, parent.name, parent.state));
        }
    }
    Violations::check(faults)?;
    if !missing.is_empty() {
        return Err(StoreError::not_found(names::first_few(missing)));
    }
    if !ended.is_empty() {
        let what = format!("{}: retry that job (`rrm retry`) and refer to the new one", names::first_few(ended));
        return Err(StoreError::Precondition { what });
    }
    Ok(found)
}

fn outer_edges(planned: &PlannedJob) -> impl Iterator<Item = (&PlannedJob, Need<'_>, JobId)> {
    planned.spec.needs().into_iter().filter_map(move |need| Some((planned, need, outer_id(need.job)?)))
}

pub(crate) fn outer_id(parent: &JobRef) -> Option<JobId> {
    match parent {
        JobRef::Id(id) => Some(*id),
        JobRef::Name(_) => None,
    }
}

fn edge_fault(planned: &PlannedJob, need: Need<'_>, parent: &JobRow) -> Option<Violation> {
    let Need { field, product, .. } = need;
    let allowed = match product.refusal(parent.kind) {
        Some(refusal) => refusal,
        None if parent.dataset != planned.spec.dataset().name.to_string() => product.of_another_dataset(),
        None => return None,
    };
    let field = format!("job.{}.{field}.job", planned.name);
    Some(Violation { field, value: format!("#{}", parent.id), allowed: allowed.to_owned() })
}

/// What a plan refers to outside of itself.
struct Known<'k> {
    parents: &'k HashMap<JobId, JobRow>,
    artifacts: &'k HashMap<ArtifactRef, ArtifactRef>,
}

impl Known<'_> {
    /// The job's spec with hashes in place of artifacts' names.
    fn pinned(&self, job: &PlannedJob) -> JobSpec {
        let mut spec = job.spec.clone();
        for network in spec.networks_mut() {
            if let ModelSource::Artifact(artifact) = network {
                let resolved = self.artifacts.get(artifact);
                *artifact = resolved.expect("every artifact of the plan was resolved").clone();
            }
        }
        spec
    }
}

/// The plan's jobs, in its order; references go to earlier ones only.
fn asked<'p>(plan: &'p Plan, known: &Known<'_>) -> Vec<Asked<'p>> {
    let mut by_name: HashMap<&str, ArtifactHash> = HashMap::new();
    let mut asked = Vec::with_capacity(plan.jobs.len());
    for job in &plan.jobs {
        let spec = known.pinned(job);
        let content_key = content_key::of(&spec, |parent| match parent {
            JobRef::Name(name) => by_name.get(name.as_str()).cloned(),
            JobRef::Id(id) => known.parents.get(id)?.content_key.clone(),
        });
        by_name.extend(content_key.clone().map(|key| (job.name.as_str(), key)));
        asked.push(Asked { job, spec, content_key });
    }
    asked
}

/// Which id each job of a plan has: a new one, or that of the job that has done the same.
struct Places<'p> {
    ids: HashMap<&'p str, JobId>,
    reused: Vec<Reused<'p>>,
    /// The jobs that have done these.
    done: HashSet<JobId>,
}

impl<'p> Places<'p> {
    fn of(asked: &'p [Asked<'p>], first: i64, finished: &Finished) -> Self {
        let (mut ids, mut reused, mut next) = (HashMap::new(), Vec::new(), first);
        for (ordinal, Asked { job, .. }) in (0..).zip(asked) {
            let id = match finished.find(ordinal) {
                Some(done) => {
                    reused.push(Reused { ordinal, name: &job.name, job: done });
                    done
                }
                None => {
                    next += 1;
                    JobId(next - 1)
                }
            };
            ids.insert(job.name.as_str(), id);
        }
        let done = reused.iter().map(|it: &Reused<'_>| it.job).collect();
        Self { ids, reused, done }
    }

    /// The jobs that are left to do.
    fn drafts(&self, asked: &'p [Asked<'p>], known: &Known<'_>) -> Result<Vec<Draft<'p>>, StoreError> {
        let reused: HashSet<u32> = self.reused.iter().map(|it| it.ordinal).collect();
        let left = (0..).zip(asked).filter(|(ordinal, _)| !reused.contains(ordinal));
        left.map(|(ordinal, asked)| self.draft(ordinal, asked, known)).collect()
    }

    /// Replaces names of jobs by ids.
    fn draft(&self, ordinal: u32, asked: &'p Asked<'p>, known: &Known<'_>) -> Result<Draft<'p>, StoreError> {
        let (mut spec, own) = (asked.spec.clone(), &asked.job.name);
        for parent in spec.needs_mut() {
            let JobRef::Name(name) = parent else { continue };
            let unknown = || Violations::one(format!("job.{own}"), name.as_str(), "must name a job of the plan");
            *parent = JobRef::Id(*self.ids.get(name.as_str()).ok_or_else(unknown)?);
        }
        let mut parents: Vec<JobId> = spec.needs().into_iter().filter_map(|need| outer_id(need.job)).collect();
        // One job may be wanted for two things.
        parents.sort();
        parents.dedup();
        let open = parents.iter().find(|id| self.is_open(**id, known));
        let (state, reason) = match open {
            Some(parent) => (JobState::Waiting, Some(format!("waits for job {parent}"))),
            None => (JobState::Queued, None),
        };
        let (id, spec) = (self.ids[own.as_str()], serde_json::to_string(&spec)?);
        Ok(Draft { id, ordinal, asked, spec, parents, state, reason })
    }

    /// Whether a job has yet to succeed.
    fn is_open(&self, id: JobId, known: &Known<'_>) -> bool {
        match known.parents.get(&id) {
            Some(parent) => parent.state != JobState::Succeeded,
            None => !self.done.contains(&id),
        }
    }
}

fn by_request(tx: &mut Tx<'_>, request: &RequestId) -> Result<Option<(SubmissionId, String)>, StoreError> {
    let found: Option<(i64, String)> =
        sql::query_as("select submission_id, plan_sha256 from submission where request_id = ?")
            .bind(request.as_str())
            .fetch_optional(tx.connection)?;
    Ok(found.map(|(id, sha256)| (SubmissionId(id), sha256)))
}

/// What became of a plan that is stored.
fn stored(tx: &mut Tx<'_>, submission: SubmissionId) -> Result<Submitted, StoreError> {
    let found: Vec<(i64, String, bool)> = sql::query_as(
        "select job_id, name, is_reused from ( \
             select job_id, name, ordinal, 0 as is_reused from job where submission_id = ?1 and retry_of is null union all \
             select job_id, name, ordinal, 1 as is_reused from reuse where submission_id = ?1) \
         order by ordinal",
    )
    .bind(submission.0)
    .fetch_all(tx.connection)?;
    let reused = found.iter().filter(|(.., is_reused)| *is_reused).map(|(id, ..)| JobId(*id)).collect();
    let jobs = found.into_iter().map(|(id, name, _)| (JobId(id), name)).collect();
    Ok(Submitted { submission, jobs, reused, outdated: 0, already: true })
}

fn insert(tx: &mut Tx<'_>, submit: &Submit, sha256: &str) -> Result<SubmissionId, StoreError> {
    let inserted = sql::query(
        "insert into submission (request_id, plan_sha256, name, client_version, host, created_at, owner) \
         values (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(submit.request.as_str())
    .bind(sha256)
    .bind(&submit.plan.name)
    .bind(&submit.client_version)
    .bind(&submit.host)
    .bind(tx.now)
    .bind(submit.owner.as_str())
    .execute(tx.connection)?;
    Ok(SubmissionId(inserted.last_insert_rowid))
}

/// Ids are given out by the code, so that specs can hold them before they are stored; the table never reuses one.
pub(crate) fn next_job_id(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let last: Option<i64> =
        sql::query_scalar("select seq from sqlite_sequence where name = 'job'").fetch_optional(tx.connection)?;
    Ok(last.unwrap_or(0) + 1)
}

fn insert_jobs(
    tx: &mut Tx<'_>,
    submission: SubmissionId,
    owner: &UserName,
    drafts: &[Draft<'_>],
    demands: &[i64],
) -> Result<(), StoreError> {
    for Draft { id, ordinal, asked, spec, parents: _, state, reason } in drafts {
        let Asked { job, content_key, .. } = asked;
        sql::query(
            "insert into job (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, \
                 epochs_total, max_retries, crash_limit, state, reason, created_at, queued_at, content_key, held, \
                 time_limit_s, owner, demand_id) \
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.0)
        .bind(submission.0)
        .bind(ordinal)
        .bind(&job.name)
        .bind(job.spec.kind().to_string())
        .bind(job.spec.dataset().name.to_string())
        .bind(spec)
        .bind(names::request_name(job.device))
        .bind(job.priority)
        .bind(job.spec.epochs())
        .bind(job.max_retries)
        .bind(CRASH_LIMIT)
        .bind(state.name())
        .bind(reason)
        .bind(tx.now)
        .bind((*state == JobState::Queued).then_some(tx.now))
        .bind(content_key.as_ref().map(ArtifactHash::as_str))
        .bind(job.hold)
        .bind(job.time_limit.map(TimeLimit::seconds))
        .bind(owner.as_str())
        .bind(demands[*ordinal as usize])
        .execute(tx.connection)?;
    }
    Ok(())
}

fn insert_dependencies(tx: &mut Tx<'_>, drafts: &[Draft<'_>]) -> Result<(), StoreError> {
    let edges = drafts.iter().flat_map(|draft| draft.parents.iter().map(|parent| [draft.id, *parent]));
    job::insert_dependencies(tx, &edges.collect::<Vec<_>>())
}
