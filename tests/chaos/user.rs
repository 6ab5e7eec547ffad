//! Users: they submit, repeat, contradict themselves and cancel, and write down what they are told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rrm_api::{ApiError, Client, Source, Submitted, VERSION, Wishes};
use rrm_spec::{JobId, JobState, Plan, RequestId};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::journal::Journal;
use crate::ledger::Entry;
use crate::{plans, sql};

/// Jobs that may wait for simulated workers, and for real ones, before more are submitted.
const SIMULATED: i64 = 24;
const REAL: i64 = 4;

/// Between two of a user's doings.
const PAUSE: Duration = Duration::from_millis(60);

pub(crate) struct User {
    pub(crate) client: Client,
    pub(crate) journal: Arc<Journal>,
    pub(crate) database: PathBuf,
    pub(crate) calm: watch::Receiver<bool>,
    pub(crate) dice: Dice,
}

impl User {
    /// Until it is calm.
    pub(crate) async fn live(mut self) {
        let mut number = 0_u64;
        let mut recent: Vec<JobId> = Vec::new();
        while !*self.calm.borrow() {
            let wanted = self.wanted().await;
            if let Some(device) = wanted {
                number += 1;
                let name = format!("plan-{number}-of-{device}");
                let plan = plans::plan(&name, device, &mut self.dice);
                recent.extend(self.submit(&name, plan).await);
                let old = recent.len().saturating_sub(40);
                recent.drain(..old);
            }
            if self.dice.percent(6)
                && let Some(&job) = self.dice.pick(&recent)
            {
                self.cancel(job).await;
            }
            sleep(PAUSE).await; // The user's pause.
        }
    }

    /// What there is too little of.
    async fn wanted(&mut self) -> Option<&'static str> {
        let left = |n: Option<i64>, most: i64| n.is_none_or(|n| n < most);
        if self.dice.percent(10) && left(sql::unfinished_on(&self.database, true), REAL) {
            return Some("cpu");
        }
        left(sql::unfinished_on(&self.database, false), SIMULATED).then_some("cuda")
    }

    /// Submits until it is told what became of it, sometimes twice at once, sometimes once more later.
    async fn submit(&mut self, name: &str, plan: Plan) -> Vec<JobId> {
        let request: RequestId = format!("request-of-{name}").parse().expect("it is a request id");
        let begun = Instant::now();
        let told = if self.dice.percent(20) {
            let (first, second) = tokio::join!(self.insist(&request, &plan), self.insist(&request, &plan));
            if let (Some(first), Some(second)) = (&first, &second)
                && (first.submission != second.submission || first.jobs != second.jobs)
            {
                self.journal
                    .is_wrong(format!("{request:?}, sent twice, is {} and {}", first.submission, second.submission));
            }
            first.or(second)
        } else {
            self.insist(&request, &plan).await
        };
        let Some(told) = told else { return vec![] };
        let jobs: Vec<JobId> = told.jobs.iter().map(|(id, _)| *id).collect();
        let ids = jobs.iter().map(|id| id.0).collect();
        let entry = Entry::Submission {
            request: request.as_str().to_owned(),
            plan: name.into(),
            submission: told.submission.0,
            jobs: ids,
        };
        self.journal.acknowledged(begun, &entry);
        if self.dice.percent(10) {
            self.repeat(&request, plan, &told).await;
        }
        jobs
    }

    async fn insist(&self, request: &RequestId, plan: &Plan) -> Option<Submitted> {
        loop {
            match self.client.submit(request.clone(), plan.clone(), source(), Wishes::default()).await {
                Ok(told) => return Some(told),
                Err(ApiError::Unavailable { .. } | ApiError::Exhausted { .. }) => {}
                Err(error) => {
                    self.journal.is_wrong(format!("{request:?}: {error}"));
                    return None;
                }
            }
            sleep(PAUSE).await; // The pause before another try.
        }
    }

    /// The same again is the same; another plan under the same request is refused.
    async fn repeat(&self, request: &RequestId, plan: Plan, before: &Submitted) {
        match self.client.submit(request.clone(), plan.clone(), source(), Wishes::default()).await {
            Ok(again) if again.submission == before.submission && again.already => {}
            Ok(again) => self.journal.is_wrong(format!("{request:?} again is {again:?}, and was {before:?}")),
            // It could not be asked just now.
            Err(_) => return,
        }
        let other = Plan { name: format!("{}-contradicted", plan.name), ..plan };
        match self.client.submit(request.clone(), other, source(), Wishes::default()).await {
            Err(ApiError::Conflict { .. }) => self.journal.refused(),
            Err(ApiError::Unavailable { .. } | ApiError::Exhausted { .. }) => {}
            told => self.journal.is_wrong(format!("another plan under {request:?}: {told:?}")),
        }
    }

    async fn cancel(&self, job: JobId) {
        let begun = Instant::now();
        match self.client.cancel(vec![job]).await {
            Ok(told) if told.iter().all(|job| job.state != JobState::Succeeded) => {
                self.journal.acknowledged(begun, &Entry::Cancel { job: job.0 });
            }
            // It had ended before.
            Ok(_) | Err(ApiError::Precondition { .. } | ApiError::Unavailable { .. } | ApiError::Exhausted { .. }) => {}
            Err(error) => self.journal.is_wrong(format!("cancelling job {job}: {error}")),
        }
    }
}

fn source() -> Source {
    Source { client_version: VERSION.into(), host: "chaos".into() }
}
