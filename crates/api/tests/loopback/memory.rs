//! A daemon in memory: enough of one to call it over the loopback device.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use rrm_api::*;
use rrm_spec::*;
use tokio_stream::StreamExt;

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) artifacts: Mutex<HashMap<ArtifactHash, Bytes>>,
    pub(crate) imports: Mutex<Vec<ImportedNetwork>>,
    pub(crate) log: Mutex<Vec<u8>>,
    pub(crate) submissions: Mutex<Vec<(RequestId, Plan)>>,
    /// So many calls of `submit` are answered by unavailability before one goes through.
    pub(crate) faults_to_come: AtomicU32,
    pub(crate) end: Mutex<Option<AttemptEnd>>,
    pub(crate) drains: Mutex<Vec<DrainView>>,
    pub(crate) grants: Mutex<Vec<Grant>>,
    pub(crate) unwell: AtomicBool,
    /// Whether the one token that was granted has been taken back.
    pub(crate) revoked: tokio::sync::watch::Sender<bool>,
}

/// The one attempt that it knows.
pub(crate) const ATTEMPT: AttemptId = AttemptId(7);

/// Events that a watcher gets before the stream stays silent.
pub(crate) const EVENTS: i64 = 5;

fn current(attempt: AttemptId) -> Result<(), ApiError> {
    if attempt == ATTEMPT { Ok(()) } else { Err(ApiError::LeaseLost) }
}

fn event(seq: i64) -> Result<WatchItem, ApiError> {
    Ok(WatchItem::Event(EventView { seq, at: 0, job: None, attempt: None, kind: "tick".into(), data: "{}".into() }))
}

pub(crate) fn page(evaluation: u32, image: u32) -> ImagesPage {
    let threat = ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() };
    let attack = AttackSpec::Fgsm(FgsmSpec { threat, dialect: FgsmDialect::Wong, step_size: None });
    let closest = Some(ClosestPoint { part: 0, iteration: Some(0), loss: 2.5, margin: -0.5 });
    let outcome = Outcome::Broken { restart: 1 };
    ImagesPage { evaluation, attack, images: vec![ImageOutcome { image, label: 1, prediction: 1, outcome, closest }] }
}

/// The one token that was granted: a reader's.
pub(crate) const GRANTED: &str = "granted-0123456789abcdef";

impl Service for Memory {
    async fn is_healthy(&self) -> bool {
        !self.unwell.load(Ordering::SeqCst)
    }

    fn caller(&self, token: TokenHash) -> Option<Caller> {
        let (user, role) = ("ada".parse().unwrap(), Role::Read);
        (token == Token::new(GRANTED).unwrap().sha256()).then_some(Caller { user, role, expires_at: Some(9) })
    }

    async fn token_ended(&self, _: TokenHash) {
        // The sender lives as long as this.
        let _ = self.revoked.subscribe().wait_for(|revoked| *revoked).await;
    }

    async fn about(&self, caller: Caller) -> Result<About, ApiError> {
        let (version, sqlite_version) = (VERSION.to_owned(), "3.51.3".to_owned());
        Ok(About { version, sqlite_version, now: 7, free_bytes: 1, total_bytes: 2, caller })
    }

    async fn add_token(&self, _: Caller, grant: Grant) -> Result<(), ApiError> {
        self.grants.lock().unwrap().push(grant);
        Ok(())
    }

    async fn tokens(&self, _: Caller) -> Result<Vec<GrantView>, ApiError> {
        let grants = self.grants.lock().unwrap();
        Ok(grants.iter().map(|grant| GrantView { grant: grant.clone(), created_at: 5 }).collect())
    }

    async fn revoke_token(&self, _: Caller, token: TokenHash) -> Result<(), ApiError> {
        self.grants.lock().unwrap().retain(|grant| grant.sha256 != token);
        Ok(())
    }

    async fn submit(
        &self,
        _: Caller,
        request: RequestId,
        plan: Plan,
        _: Source,
        wishes: Wishes,
    ) -> Result<Submitted, ApiError> {
        let mut submissions = self.submissions.lock().unwrap();
        let already = submissions.iter().any(|(known, _)| *known == request);
        let names: Vec<_> = plan.jobs.iter().map(|job| job.name.clone()).collect();
        if !already {
            submissions.push((request, plan));
        }
        // As when the answer is lost after the commit.
        let lost = self.faults_to_come.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if lost.is_ok() {
            return Err(ApiError::Unavailable { what: "the answer is lost".into() });
        }
        let jobs = names.into_iter().zip(1..).map(|(name, id)| (JobId(id), name)).collect();
        let reused = if wishes.reuse == Reuse::Yes { vec![JobId(1)] } else { vec![] };
        Ok(Submitted { submission: SubmissionId(1), jobs, reused, already, warnings: vec!["no worker yet".into()] })
    }

    async fn list(&self, _: Caller, filter: JobFilter) -> Result<Vec<JobSummary>, ApiError> {
        assert_eq!(filter.states, [JobState::Failed]);
        Ok(Vec::new())
    }

    async fn job(&self, _: Caller, id: JobId) -> Result<JobDetail, ApiError> {
        Err(ApiError::NotFound { what: format!("job {id}") })
    }

    /// Finds a thousand faults, to see whether all arrive.
    async fn cancel(&self, _: Caller, _: Vec<JobId>) -> Result<Vec<JobSummary>, ApiError> {
        let fault = |i| Violation { field: format!("ids[{i}]"), value: "1".into(), allowed: "must be another".into() };
        Err(Violations::check((0..1000).map(fault).collect()).unwrap_err().into())
    }

    async fn change(&self, _: Caller, _: Vec<JobId>, change: JobChange) -> Result<Vec<JobSummary>, ApiError> {
        Err(ApiError::Precondition { what: format!("{change:?}") })
    }

    async fn preempt(
        &self,
        _: Caller,
        _: RequestId,
        _: Vec<JobId>,
        then: AfterPreemption,
    ) -> Result<Vec<JobSummary>, ApiError> {
        Err(ApiError::Precondition { what: format!("{then:?}") })
    }

    /// Each as the job with the next number.
    async fn retry(&self, _: Caller, _: RequestId, ids: Vec<JobId>, _: RetryWish) -> Result<Vec<Retried>, ApiError> {
        let retried =
            |id: JobId| Retried { job: JobId(id.0 + 1), retry_of: id, name: "again".into(), resumes_after: 2 };
        Ok(ids.into_iter().map(retried).collect())
    }

    async fn drain(&self, _: Caller, target: DrainTarget, how: DrainHow) -> Result<Vec<JobId>, ApiError> {
        self.drains.lock().unwrap().push(DrainView { target, how, since: 1 });
        Ok(vec![JobId(1)])
    }

    async fn undrain(&self, _: Caller, target: DrainTarget) -> Result<(), ApiError> {
        self.drains.lock().unwrap().retain(|drain| drain.target != target);
        Ok(())
    }

    async fn drains(&self, _: Caller) -> Result<Vec<DrainView>, ApiError> {
        Ok(self.drains.lock().unwrap().clone())
    }

    async fn watch(&self, _: Caller, after_seq: i64, _: Option<SubmissionId>) -> Result<Replies<WatchItem>, ApiError> {
        let events = tokio_stream::iter((after_seq + 1..=EVENTS).map(event));
        Ok(Box::pin(events.chain(tokio_stream::pending())))
    }

    async fn logs(
        &self,
        _: Caller,
        _: JobId,
        _: Option<AttemptId>,
        offset: u64,
        _: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        let log = self.log.lock().unwrap()[offset as usize..].to_vec();
        Ok(Box::pin(tokio_stream::once(Ok(LogChunk { attempt: ATTEMPT, offset, bytes: log.into() }))))
    }

    async fn workers(&self, _: Caller) -> Result<Vec<WorkerView>, ApiError> {
        Ok(Vec::new())
    }

    async fn last_plan(&self, caller: Caller) -> Result<LastPlan, ApiError> {
        let submissions = self.submissions.lock().unwrap();
        let (_, plan) = submissions.last().ok_or(ApiError::NotFound { what: format!("no plan of {}", caller.user) })?;
        let submission = SubmissionId(submissions.len() as i64);
        Ok(LastPlan { submission, name: plan.name.clone(), owner: caller.user })
    }

    async fn explain(&self, _: Caller, job: JobId) -> Result<Explanation, ApiError> {
        Err(ApiError::NotFound { what: format!("job {job}") })
    }

    async fn restore_device(&self, _: Caller, _: String, _: Device) -> Result<bool, ApiError> {
        Ok(true)
    }

    /// A page an image; so many streams break off after their first page.
    async fn images(&self, _: Caller, _: JobId, from: ImagesFrom) -> Result<Replies<ImagesPage>, ApiError> {
        let breaks = self.faults_to_come.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        let behind = |(evaluation, image): &(u32, u32)| {
            *evaluation > from.evaluation
                || *evaluation == from.evaluation && from.after.is_none_or(|after| *image > after)
        };
        let pages = (0..2).flat_map(|evaluation| (0..3).map(move |image| (evaluation, image))).filter(behind);
        let mut pages: Vec<_> = pages.map(|(evaluation, image)| Ok(page(evaluation, image))).collect();
        if breaks {
            pages.truncate(1);
            pages.push(Err(ApiError::Unavailable { what: "the stream breaks off".into() }));
        }
        Ok(Box::pin(tokio_stream::iter(pages)))
    }

    async fn download(&self, _: Caller, sha256: ArtifactHash) -> Result<Artifact, ApiError> {
        let content = self.artifacts.lock().unwrap().get(&sha256).cloned();
        let content = content.ok_or(ApiError::NotFound { what: format!("artifact {sha256}") })?;
        Ok(Artifact { bytes: content.len() as u64, content: Box::pin(std::io::Cursor::new(content)) })
    }

    async fn register(&self, _: Caller, _: Registration) -> Result<Registered, ApiError> {
        Ok(Registered { worker: WorkerId(1), ttl_ms: 30_000, heartbeat_ms: 10_000 })
    }

    async fn lease(
        &self,
        _: Caller,
        _: WorkerId,
        _: RequestId,
        free: Vec<Device>,
        _: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        let (_, plan) = self.submissions.lock().unwrap()[0].clone();
        let job = &plan.jobs[0];
        Ok(vec![Assignment {
            job: JobId(1),
            attempt: ATTEMPT,
            name: job.name.clone(),
            device: free[0],
            more_devices: Vec::new(),
            parts: 1,
            spec: job.spec.clone(),
            inputs: Vec::new(),
            resume: None,
            time_limit: job.time_limit,
        }])
    }

    async fn heartbeat(&self, _: Caller, worker: WorkerId, held: Vec<HeldAttempt>) -> Result<HeartbeatReply, ApiError> {
        let instruct = |held: HeldAttempt| (held.attempt, Instruction::Abandon);
        Ok(HeartbeatReply { instructions: held.into_iter().map(instruct).collect(), known: Some(worker) })
    }

    async fn report(&self, _: Caller, attempt: AttemptId, first: u64, records: Vec<Record>) -> Result<u64, ApiError> {
        current(attempt)?;
        Ok(first - 1 + records.len() as u64)
    }

    async fn settle(&self, _: Caller, attempt: AttemptId, _: u64, end: AttemptEnd) -> Result<(), ApiError> {
        current(attempt)?;
        *self.end.lock().unwrap() = Some(end);
        Ok(())
    }

    async fn push_log(&self, _: Caller, _: AttemptId, offset: u64, bytes: Bytes) -> Result<u64, ApiError> {
        let mut log = self.log.lock().unwrap();
        if offset == log.len() as u64 {
            log.extend_from_slice(&bytes);
        }
        Ok(log.len() as u64)
    }

    async fn stored(&self, _: Caller, sha256: ArtifactHash) -> Result<bool, ApiError> {
        Ok(self.artifacts.lock().unwrap().contains_key(&sha256))
    }

    async fn upload(&self, _: Caller, upload: Upload, mut body: Replies<Bytes>) -> Result<(), ApiError> {
        current(upload.attempt)?;
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            content.extend_from_slice(&piece?);
        }
        self.artifacts.lock().unwrap().insert(upload.sha256, content.into());
        Ok(())
    }

    async fn import(&self, _: Caller, import: ImportedNetwork, mut body: Replies<Bytes>) -> Result<(), ApiError> {
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            content.extend_from_slice(&piece?);
        }
        self.artifacts.lock().unwrap().insert(import.sha256.clone(), content.into());
        self.imports.lock().unwrap().push(import);
        Ok(())
    }

    async fn imports(&self, _: Caller) -> Result<Vec<ImportedNetwork>, ApiError> {
        Ok(self.imports.lock().unwrap().clone())
    }

    async fn deregister(&self, _: Caller, _: WorkerId) -> Result<(), ApiError> {
        Ok(())
    }
}
