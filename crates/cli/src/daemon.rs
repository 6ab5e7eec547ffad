//! The way to the daemon, and what several commands ask it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use rrm_api::{ApiError, Client, ClientIdentity, ClientTls, Endpoint, JobFilter, LastPlan, Token};
use rrm_spec::{JobId, JobState, JobSummary, SubmissionId};

use crate::{
    arguments::Global,
    exit::{Exit, Failure},
    folders,
    output::{Output, printable},
    selector::{JobSelector, PlanSelector},
};

/// For how long a call that gets no answer is repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// After such a silence people are told what they wait for.
const SILENCE: Duration = Duration::from_secs(1);

/// Jobs whose ids are no further apart are asked for together.
const GAP: i64 = 100;

/// At most so many unknown ids are named.
const NAMED: usize = 10;

/// A daemon that can be asked.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) client: Client,
}

impl Daemon {
    /// Finds address and token. Nothing is sent yet.
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        let state = || global.state_dir.clone().map_or_else(folders::state, Ok);
        let url = match &global.server {
            Some(server) => server.clone(),
            None => written_address(&state()?)?,
        };
        let token_file = match &global.token_file {
            Some(file) => file.clone(),
            None => state()?.join("token-user"),
        };
        let token = token(&token_file)?;
        let tls = tls(global);
        let url = Endpoint::url_of(&url, tls.as_ref());
        if url.starts_with("https://") && tls.is_none() {
            let failure = Failure::new(Exit::Invalid, format!("{url}: the daemon's connections are encrypted"));
            return Err(failure.next("name its authority's certificate with --ca-file or RRM_CA_FILE"));
        }
        Ok(Self { client: Client::new(&Endpoint { url, token, tls })?.with_patience(PATIENCE) })
    }

    /// Finds a daemon that is asked at once, and tells people where it does not answer.
    pub(crate) fn reach(global: &Global, output: Output) -> Result<Self, Failure> {
        let daemon = Self::find(global)?;
        let patience = global.timeout.map_or(PATIENCE, |limit| limit.min(PATIENCE));
        // It ends by itself after one question, and nobody waits for it.
        tokio::spawn(remark_on_silence(daemon.impatient(), patience, output));
        Ok(daemon)
    }

    /// The same daemon, whose restarts are waited for.
    pub(crate) fn patient(&self) -> Self {
        // As good as for ever; the user has --timeout and the keyboard.
        Self { client: self.client.with_patience(Duration::from_secs(30 * 86_400)) }
    }

    /// The same daemon, asked once.
    pub(crate) fn impatient(&self) -> Self {
        Self { client: self.client.with_patience(Duration::ZERO) }
    }

    /// A plan's id.
    pub(crate) async fn plan(&self, plan: PlanSelector) -> Result<SubmissionId, Failure> {
        match plan {
            PlanSelector::Id(id) => Ok(id),
            PlanSelector::Last => Ok(self.last_plan().await?.submission),
        }
    }

    /// The newest plan that this user has submitted; of one who may only look, and has none, anybody's.
    async fn last_plan(&self) -> Result<LastPlan, Failure> {
        match self.client.last_plan().await {
            Err(ApiError::NotFound { .. }) => {
                Err(Failure::new(Exit::NotFound, "there is no last plan: you have submitted none yet").next(
                    "submit one with `rrm submit PLAN.toml`, or name somebody else's by its id (`rrm list` shows them)",
                ))
            }
            answered => Ok(answered?),
        }
    }

    /// A plan's jobs in the order of their ids; of those that were retried the newest try.
    pub(crate) async fn plan_jobs(&self, plan: PlanSelector) -> Result<Vec<JobSummary>, Failure> {
        let submission = self.plan(plan).await?;
        let mut jobs = self.list(&[], Some(submission), usize::MAX).await?;
        if jobs.is_empty() {
            return Err(no_plan(submission));
        }
        jobs.retain(|job| job.retried_as.is_none());
        jobs.reverse();
        Ok(jobs)
    }

    /// The newest plan that has one of these names, and which.
    pub(crate) async fn newest_plan_named(&self, names: &[String]) -> Result<Option<(SubmissionId, String)>, Failure> {
        // Where everything was done before, the plan has no job of its own to be found by.
        let last = self.client.last_plan().await.ok().filter(|last| names.contains(&last.name));
        let found = self.newest_job_of(names).await?.map(|job| (job.submission, job.plan));
        Ok(found.max(last.map(|last| (last.submission, last.name))))
    }

    /// The newest job of a plan that has one of these names.
    async fn newest_job_of(&self, names: &[String]) -> Result<Option<JobSummary>, Failure> {
        let mut before = None;
        loop {
            // 0 asks for as many as the daemon hands out at once.
            let filter = JobFilter { states: Vec::new(), submission: None, needs: None, before, limit: 0 };
            let page = self.client.list(filter).await?;
            let Some(oldest) = page.last() else { return Ok(None) };
            before = Some(oldest.id);
            if let Some(job) = page.into_iter().find(|job| names.contains(&job.plan)) {
                return Ok(Some(job));
            }
        }
    }

    /// Jobs, newest first, page by page.
    ///
    /// # Errors
    /// Where there is no such plan, though not where it has no such jobs.
    pub(crate) async fn list_plan(
        &self,
        states: &[JobState],
        plan: PlanSelector,
        limit: usize,
    ) -> Result<Vec<JobSummary>, Failure> {
        let submission = self.plan(plan).await?;
        let jobs = self.list(states, Some(submission), limit).await?;
        if jobs.is_empty() && self.list(&[], Some(submission), 1).await?.is_empty() {
            return Err(no_plan(submission));
        }
        Ok(jobs)
    }

    /// Jobs, newest first, page by page.
    pub(crate) async fn list(
        &self,
        states: &[JobState],
        submission: Option<SubmissionId>,
        limit: usize,
    ) -> Result<Vec<JobSummary>, Failure> {
        let filter = JobFilter { states: states.to_vec(), submission, needs: None, before: None, limit: 0 };
        self.pages(filter, limit).await
    }

    /// Jobs that need another one, newest first.
    pub(crate) async fn list_needing(
        &self,
        parent: JobId,
        states: &[JobState],
        limit: usize,
    ) -> Result<Vec<JobSummary>, Failure> {
        let states = states.to_vec();
        self.pages(JobFilter { states, submission: None, needs: Some(parent), before: None, limit: 0 }, limit).await
    }

    /// So many jobs, page by page.
    async fn pages(&self, mut filter: JobFilter, limit: usize) -> Result<Vec<JobSummary>, Failure> {
        let mut jobs: Vec<JobSummary> = Vec::new();
        while jobs.len() < limit {
            // 0 asks for as many as the daemon hands out at once.
            filter.limit = u32::try_from(limit - jobs.len()).unwrap_or(0);
            let more = self.client.list(filter.clone()).await?;
            let Some(oldest) = more.last() else { break };
            filter.before = Some(oldest.id);
            jobs.extend(more);
        }
        Ok(jobs)
    }

    /// The jobs that selectors name or, where there are none, all of a plan: the last one unless another is named.
    pub(crate) async fn select_or_plan(
        &self,
        selectors: &[JobSelector],
        plan: Option<PlanSelector>,
    ) -> Result<Vec<JobSummary>, Failure> {
        let plan = plan.unwrap_or(PlanSelector::Last);
        match selectors {
            [] => self.plan_jobs(plan).await,
            selectors => self.select(selectors, plan).await,
        }
    }

    /// The same for jobs that are to be changed: where they are those of the last plan, people are told which one that is.
    pub(crate) async fn select_to_change(
        &self,
        selectors: &[JobSelector],
        plan: Option<PlanSelector>,
        output: Output,
    ) -> Result<Vec<JobSummary>, Failure> {
        let plan = plan.unwrap_or(PlanSelector::Last);
        let asks_for_last = match selectors {
            [] => plan == PlanSelector::Last,
            selectors => selectors.iter().any(|selector| selector.is_of_last(plan)),
        };
        if !asks_for_last {
            return self.select_or_plan(selectors, Some(plan)).await;
        }
        let last = self.last_plan().await?;
        output.note(&format!("the last plan is {} ({})", last.submission, printable(&last.name)));
        // By its id from here on: a plan that is submitted meanwhile must not take its place.
        let selectors: Vec<_> = selectors.iter().map(|selector| selector.with_last(last.submission)).collect();
        self.select_or_plan(&selectors, Some(plan.with_last(last.submission))).await
    }

    /// The jobs that selectors name, each once, in the order of their ids. Names are looked up in `plan`.
    async fn select(&self, selectors: &[JobSelector], plan: PlanSelector) -> Result<Vec<JobSummary>, Failure> {
        let mut found: BTreeMap<JobId, JobSummary> = BTreeMap::new();
        let mut ids = Vec::new();
        for selector in selectors {
            match selector {
                JobSelector::Id(id) => ids.push(*id),
                JobSelector::Range(from, to) => ids.extend((from.0..=to.0).map(JobId)),
                JobSelector::Plan(plan) => {
                    found.extend(self.plan_jobs(*plan).await?.into_iter().map(|job| (job.id, job)))
                }
                JobSelector::Name(name) => {
                    let job = self.named(name, plan).await?;
                    found.insert(job.id, job);
                }
            }
        }
        found.extend(self.summaries(&ids).await?.into_iter().map(|job| (job.id, job)));
        Ok(found.into_values().collect())
    }

    /// The one job that a selector names.
    pub(crate) async fn select_one(&self, selector: &JobSelector, plan: PlanSelector) -> Result<JobId, Failure> {
        match selector {
            JobSelector::Id(id) => Ok(*id),
            JobSelector::Name(name) => Ok(self.named(name, plan).await?.id),
            JobSelector::Range(from, to) if from == to => Ok(*from),
            JobSelector::Range(..) | JobSelector::Plan(_) => {
                Err(Failure::new(Exit::Invalid, "this command takes one job")
                    .next("name it by its id (12) or name (@student)"))
            }
        }
    }

    async fn named(&self, name: &str, plan: PlanSelector) -> Result<JobSummary, Failure> {
        let submission = self.plan(plan).await?;
        let jobs = self.plan_jobs(PlanSelector::Id(submission)).await?;
        let job = jobs.into_iter().find(|job| job.name == name);
        job.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("plan {submission} has no job named {name}"))
                .next(format!("`rrm list --plan {submission}` shows its jobs; --plan names another plan"))
        })
    }

    /// Where these jobs stand.
    ///
    /// # Errors
    /// Where one of them does not exist.
    pub(crate) async fn summaries(&self, ids: &[JobId]) -> Result<Vec<JobSummary>, Failure> {
        let mut wanted: BTreeSet<JobId> = ids.iter().copied().collect();
        let mut summaries = Vec::with_capacity(wanted.len());
        for (from, to) in spans(&wanted) {
            let length = usize::try_from(to.0 - from.0 + 1).unwrap_or(usize::MAX);
            let before = Some(JobId(to.0 + 1));
            let filter = JobFilter { states: Vec::new(), submission: None, needs: None, before, limit: 0 };
            let listed = self.pages(filter, length).await?;
            summaries.extend(listed.into_iter().filter(|job| wanted.remove(&job.id)));
        }
        if wanted.is_empty() { Ok(summaries) } else { Err(unknown(&wanted)) }
    }
}

/// Asks a daemon once that has had time to answer, and tells people if it is silent.
async fn remark_on_silence(daemon: Daemon, patience: Duration, output: Output) {
    tokio::time::sleep(SILENCE).await;
    let is_silent = match tokio::time::timeout(SILENCE, daemon.client.about()).await {
        Ok(answer) => matches!(answer, Err(ApiError::Unavailable { .. })),
        Err(_) => true,
    };
    if is_silent {
        let left = patience.saturating_sub(SILENCE).as_secs();
        output.note(&format!("the daemon at {} does not answer; trying for {left} s more", daemon.client.url()));
    }
}

/// From where to where lie ids that are near each other.
fn spans(ids: &BTreeSet<JobId>) -> Vec<(JobId, JobId)> {
    let mut spans: Vec<(JobId, JobId)> = Vec::new();
    for &id in ids {
        match spans.last_mut() {
            Some((_, to)) if id.0 - to.0 <= GAP => *to = id,
            _ => spans.push((id, id)),
        }
    }
    spans
}

fn unknown(ids: &BTreeSet<JobId>) -> Failure {
    let named: Vec<_> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    let more = ids.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Failure::new(Exit::NotFound, format!("there is no job {}{more}", named.join(", ")))
        .next("`rrm list` shows what exists")
}

fn no_plan(submission: SubmissionId) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no plan {submission}")).next("`rrm list` shows the plans' ids")
}

/// How the daemon is told from others, and who this client is to it.
pub(crate) fn tls(global: &Global) -> Option<ClientTls> {
    let identity = match (&global.client_cert, &global.client_key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate: certificate.clone(), key: key.clone() }),
        // The command line refuses one without the other.
        _ => None,
    };
    let domain = global.tls_domain.clone();
    global.ca_file.clone().map(|authority| ClientTls { authority, domain, identity })
}

fn written_address(state: &Path) -> Result<String, Failure> {
    let file = state.join("address");
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Failure::new(Exit::Unreachable, format!("no daemon is known: {}: {error}", file.display()))
            .next("start one with `rrmd serve`, or name its address with --server or RRM_SERVER")
    })?;
    Ok(text.trim().to_owned())
}

fn token(file: &Path) -> Result<Token, Failure> {
    Token::load(file).map_err(|error| {
        Failure::new(Exit::Forbidden, error.to_string())
            .next("the daemon writes one on its first start, and `rrm admin token add` makes others; name it with --token-file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_near_each_other_are_asked_for_together() {
        let ids = |ids: &[i64]| spans(&ids.iter().copied().map(JobId).collect());
        assert_eq!(ids(&[3, 1, 2, 90]), [(JobId(1), JobId(90))]);
        assert_eq!(ids(&[7, 1_000_000]), [(JobId(7), JobId(7)), (JobId(1_000_000), JobId(1_000_000))]);
        assert_eq!(ids(&[]), []);
    }

    #[test]
    fn without_a_daemon_the_error_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let failure = written_address(folder.path()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.to_string().contains("rrmd serve"), "{failure}");
    }

    #[test]
    fn a_missing_token_is_an_error_of_authorization() {
        let folder = tempfile::tempdir().unwrap();
        let failure = token(&folder.path().join("token-user")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Forbidden);
    }
}
