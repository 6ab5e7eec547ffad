//! A daemon that keeps its jobs in memory and never trains: what the commands see of one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rrm_api::{
    About, ApiError, Artifact, AttemptEnd, Caller, Follow, ImagesFrom, ImagesPage, JobFilter, LastPlan, LogChunk,
    Registered, Replies, Reuse, Role, Service, Source, Submitted, Token, Tokens, Upload, WatchItem, Wishes,
};
use rrm_spec::{
    AfterPreemption, Ahead, AheadGroup, AheadReason, ArtifactHash, Assignment, AttemptId, AttemptView, Device,
    DeviceRequest, DeviceStanding, DeviceView, DrainHow, DrainTarget, DrainView, EventView, Explanation, Grant,
    GrantView, HeartbeatReply, HeldAttempt, ImportedNetwork, JobChange, JobDetail, JobId, JobRef, JobState, JobSummary,
    ModelSource, Plan, Progress, Record, Registration, RequestId, ResourceRequest, Retried, RetryWish, Standing,
    SubmissionId, TokenHash, UserName, WorkerId, WorkerStanding, WorkerView,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};
use tokio_stream::StreamExt;

pub(crate) const USER_TOKEN: &str = "user-0123456789abcdef";
const WORKER_TOKEN: &str = "worker-0123456789abcdef";

/// The running daemon, with a folder as its state folder would be.
pub(crate) struct Fake {
    pub(crate) folder: TempDir,
    pub(crate) memory: Arc<Memory>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
}

/// What the daemon knows.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
    /// Calls of `submit` that are to find the daemon unavailable.
    pub(crate) submissions_to_lose: AtomicU32,
    /// Whether requests are carried out and never answered.
    pub(crate) is_mute: AtomicBool,
    /// Networks that were imported, with their files.
    pub(crate) imports: Mutex<Vec<(ImportedNetwork, Vec<u8>)>>,
    /// Tokens that were granted.
    pub(crate) grants: Mutex<Vec<Grant>>,
}

#[derive(Default)]
struct State {
    jobs: Vec<JobDetail>,
    events: Vec<EventView>,
    requests: Vec<(RequestId, Submitted)>,
    plans: Vec<LastPlan>,
    /// Names of retries and preemptions, as often as they came.
    steering: Vec<RequestId>,
    log: Vec<u8>,
    drains: Vec<DrainView>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut fake = Self { folder, memory: Arc::default(), runtime: None, stop: None };
        fake.serve("127.0.0.1:0");
        fake.write("token-user", USER_TOKEN);
        fake.write("token-worker", WORKER_TOKEN);
        fake
    }

    fn write(&self, name: &str, text: &str) {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.folder.path().join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn serve(&mut self, address: &str) {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        self.write("address", &listener.local_addr().unwrap().to_string());
        let tokens = Tokens { user: Token::new(USER_TOKEN).unwrap(), worker: Token::new(WORKER_TOKEN).unwrap() };
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Serving(Arc::clone(&self.memory)));
        runtime.spawn(async move {
            let _ = rrm_api::serve(listener, None, service, tokens, async { drop(stopped.await) }).await;
        });
        (self.runtime, self.stop) = (Some(runtime), Some(stop));
    }

    /// Dies and comes back at the same address after `away`.
    pub(crate) fn restart(&mut self, away: Duration) {
        let address = std::fs::read_to_string(self.folder.path().join("address")).unwrap();
        self.stop = None;
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
        std::thread::sleep(away); // The time during which it is away.
        self.serve(&address);
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Moves a job, and tells of it.
    pub(crate) fn set_state(&self, id: i64, to: JobState, reason: Option<&str>) {
        let mut state = self.state();
        let job = state.jobs.iter_mut().find(|job| job.summary.id == JobId(id)).unwrap();
        job.summary.state = to;
        job.summary.reason = reason.map(str::to_owned);
        if to == JobState::Running {
            job.attempts.push(attempt(id));
        }
        let data = serde_json::json!({"from": null, "to": to, "reason": reason});
        state.tell("job.state", id, &data);
    }

    pub(crate) fn tell(&self, kind: &str, job: i64, data: &serde_json::Value) {
        self.state().tell(kind, job, data);
    }

    pub(crate) fn append_log(&self, text: &str) {
        self.state().log.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn with_job(&self, id: i64, change: impl FnOnce(&mut JobDetail)) {
        change(self.state().jobs.iter_mut().find(|job| job.summary.id == JobId(id)).unwrap());
    }

    pub(crate) fn submissions(&self) -> usize {
        self.state().requests.len()
    }

    /// Names of the retries and preemptions that came.
    pub(crate) fn steering(&self) -> Vec<RequestId> {
        self.state().steering.clone()
    }

    fn store(&self, caller: Caller, request: RequestId, plan: &Plan, wishes: Wishes) -> Result<Submitted, ApiError> {
        let mut state = self.state();
        if let Some((_, known)) = state.requests.iter().find(|(known, _)| *known == request) {
            return Ok(Submitted { already: true, ..known.clone() });
        }
        let submission = SubmissionId(state.requests.len() as i64 + 1);
        let first = state.jobs.len() as i64 + 1;
        let jobs = details(plan, submission, first);
        let names = jobs.iter().map(|job| (job.summary.id, job.summary.name.clone())).collect();
        for job in &jobs {
            state.tell(
                "job.state",
                job.summary.id.0,
                &serde_json::json!({"from": null, "to": "queued", "reason": null}),
            );
        }
        state.jobs.extend(jobs);
        state.plans.push(LastPlan { submission, name: plan.name.clone(), owner: caller.user });
        // Of a plan that may be reused the first job was done before.
        let reused = if wishes.reuse == Reuse::Yes { vec![JobId(first)] } else { vec![] };
        let (already, warnings) = (false, vec!["no worker".into()]);
        let submitted = Submitted { submission, jobs: names, reused, already, warnings };
        state.requests.push((request, submitted.clone()));
        // The plan is stored, and the answer lost: what idempotent submission is for.
        let losing =
            self.submissions_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match losing {
            Ok(_) => Err(ApiError::Unavailable { what: "the answer is lost".into() }),
            Err(_) => Ok(submitted),
        }
    }
}

impl State {
    fn tell(&mut self, kind: &str, job: i64, data: &serde_json::Value) {
        let seq = self.events.len() as i64 + 1;
        let (kind, data) = (kind.to_owned(), data.to_string());
        self.events.push(EventView { seq, at: 1_000_000 * seq, job: Some(JobId(job)), attempt: None, kind, data });
    }
}

fn attempt(id: i64) -> AttemptView {
    AttemptView {
        id: AttemptId(id * 10),
        worker: WorkerId(1),
        node: "node1".into(),
        device: "cpu".into(),
        started_at: 1_000_000,
        ended_at: None,
        outcome: None,
        message: None,
        run: None,
    }
}

fn details(plan: &Plan, submission: SubmissionId, first: i64) -> Vec<JobDetail> {
    let id = |name: &str| JobId(first + plan.jobs.iter().position(|job| job.name == name).unwrap() as i64);
    let detail = |job: &rrm_spec::PlannedJob| {
        let mut spec = job.spec.clone();
        let mut parents = Vec::new();
        if let Some(ModelSource::Job(reference)) = spec.source_mut()
            && let JobRef::Name(name) = reference.clone()
        {
            parents.push(id(&name));
            *reference = JobRef::Id(id(&name));
        }
        let summary = JobSummary {
            id: id(&job.name),
            submission,
            plan: plan.name.clone(),
            owner: UserName::lab(),
            name: job.name.clone(),
            kind: spec.kind(),
            state: JobState::Queued,
            stop: None,
            held: job.hold,
            priority: job.priority,
            time_limit: job.time_limit,
            retry_of: None,
            retried_as: None,
            attempts: 0,
            epochs_done: 0,
            epochs_total: spec.epochs(),
            progress: None,
            reason: None,
            created_at: 1_700_000_000_000_000,
            started_at: None,
            ended_at: None,
        };
        let (attempts, epochs, evaluations, checkpoints) = (vec![], vec![], vec![], vec![]);
        let (diagnostics, content_key) = (None, None);
        JobDetail { summary, spec, parents, attempts, epochs, evaluations, diagnostics, checkpoints, content_key }
    };
    plan.jobs.iter().map(detail).collect()
}

struct Serving(Arc<Memory>);

impl Serving {
    /// Waits for ever where nothing is to be answered.
    async fn be_mute_if_told(&self) {
        if self.0.is_mute.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

const USER: Caller = Caller { user: UserName::lab(), role: Role::Admin, expires_at: None };

fn absent<T>() -> Result<T, ApiError> {
    Err(ApiError::Internal { what: "this daemon has no workers".into() })
}

impl Service for Serving {
    async fn is_healthy(&self) -> bool {
        true
    }

    fn caller(&self, token: TokenHash) -> Option<Caller> {
        let grants = self.0.grants.lock().unwrap();
        let Grant { sha256: _, user, role, expires_at } = grants.iter().find(|grant| grant.sha256 == token)?.clone();
        Some(Caller { user, role, expires_at })
    }

    async fn about(&self, caller: Caller) -> Result<About, ApiError> {
        let (version, sqlite_version) = (rrm_api::VERSION.to_owned(), "3.51.3".to_owned());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
        Ok(About { version, sqlite_version, now, free_bytes: 90 << 30, total_bytes: 100 << 30, caller })
    }

    async fn add_token(&self, _: Caller, grant: Grant) -> Result<(), ApiError> {
        self.0.grants.lock().unwrap().push(grant);
        Ok(())
    }

    async fn tokens(&self, _: Caller) -> Result<Vec<GrantView>, ApiError> {
        let grants = self.0.grants.lock().unwrap();
        Ok(grants.iter().map(|grant| GrantView { grant: grant.clone(), created_at: 1_700_000_000_000_000 }).collect())
    }

    async fn revoke_token(&self, _: Caller, token: TokenHash) -> Result<(), ApiError> {
        self.0.grants.lock().unwrap().retain(|grant| grant.sha256 != token);
        Ok(())
    }

    async fn submit(
        &self,
        caller: Caller,
        request: RequestId,
        plan: Plan,
        _: Source,
        wishes: Wishes,
    ) -> Result<Submitted, ApiError> {
        let stored = self.0.store(caller, request, &plan, wishes);
        self.be_mute_if_told().await;
        stored
    }

    async fn last_plan(&self, caller: Caller) -> Result<LastPlan, ApiError> {
        let state = self.0.state();
        let own = state.plans.iter().rfind(|plan| plan.owner == caller.user);
        let last = own.or_else(|| state.plans.last().filter(|_| caller.role == Role::Read)).cloned();
        last.ok_or_else(|| ApiError::NotFound { what: "a last plan".into() })
    }

    async fn list(&self, _: Caller, filter: JobFilter) -> Result<Vec<JobSummary>, ApiError> {
        let state = self.0.state();
        let needs = |parent: JobId, id: JobId| {
            state.jobs.iter().any(|job| job.summary.id == id && job.parents.contains(&parent))
        };
        let fits = |job: &&JobSummary| {
            (filter.states.is_empty() || filter.states.contains(&job.state))
                && filter.submission.is_none_or(|submission| submission == job.submission)
                && filter.needs.is_none_or(|parent| needs(parent, job.id))
                && filter.before.is_none_or(|before| job.id < before)
        };
        // Small pages, so that clients must turn them.
        let limit = if filter.limit == 0 { 2 } else { filter.limit.min(2) };
        Ok(state.jobs.iter().rev().map(|job| &job.summary).filter(fits).take(limit as usize).cloned().collect())
    }

    async fn job(&self, _: Caller, id: JobId) -> Result<JobDetail, ApiError> {
        let state = self.0.state();
        let job = state.jobs.iter().find(|job| job.summary.id == id).cloned();
        job.ok_or_else(|| ApiError::NotFound { what: format!("job {id}") })
    }

    async fn cancel(&self, _: Caller, ids: Vec<JobId>) -> Result<Vec<JobSummary>, ApiError> {
        let named = || {
            let state = self.0.state();
            state.jobs.iter().map(|job| job.summary.clone()).filter(|job| ids.contains(&job.id)).collect::<Vec<_>>()
        };
        if named().iter().all(|job| matches!(job.state, JobState::Succeeded | JobState::Failed)) {
            return Err(ApiError::Precondition { what: "all of them have ended".into() });
        }
        for job in named().iter().filter(|job| !job.state.is_terminal()) {
            self.0.set_state(job.id.0, JobState::Cancelled, None);
        }
        Ok(named())
    }

    /// Changes all of them, whatever their states.
    async fn change(&self, _: Caller, ids: Vec<JobId>, change: JobChange) -> Result<Vec<JobSummary>, ApiError> {
        let mut state = self.0.state();
        let named = state.jobs.iter_mut().map(|job| &mut job.summary).filter(|job| ids.contains(&job.id));
        let changed = named.map(|job| {
            match change {
                JobChange::Hold => job.held = true,
                JobChange::Release => job.held = false,
                JobChange::Priority(priority) => job.priority = priority,
            }
            job.clone()
        });
        Ok(changed.collect())
    }

    async fn preempt(
        &self,
        caller: Caller,
        request: RequestId,
        ids: Vec<JobId>,
        then: AfterPreemption,
    ) -> Result<Vec<JobSummary>, ApiError> {
        self.0.state().steering.push(request);
        self.be_mute_if_told().await;
        for id in &ids {
            self.0.set_state(id.0, JobState::Queued, Some("preempted"));
        }
        match then {
            AfterPreemption::Queue => self.change(caller, ids, JobChange::Release).await,
            AfterPreemption::Hold => self.change(caller, ids, JobChange::Hold).await,
        }
    }

    /// Each as a new job, which knows of it.
    async fn retry(
        &self,
        _: Caller,
        request: RequestId,
        ids: Vec<JobId>,
        _: RetryWish,
    ) -> Result<Vec<Retried>, ApiError> {
        self.0.state().steering.push(request);
        self.be_mute_if_told().await;
        let mut state = self.0.state();
        let mut retried = Vec::new();
        for id in ids {
            let job = JobId(state.jobs.len() as i64 + 1);
            let before = state.jobs.iter_mut().find(|job| job.summary.id == id).unwrap();
            before.summary.retried_as = Some(job);
            let mut again = before.clone();
            (again.summary.id, again.summary.state, again.summary.reason) = (job, JobState::Queued, None);
            (again.summary.retry_of, again.summary.retried_as) = (Some(id), None);
            retried.push(Retried { job, retry_of: id, name: again.summary.name.clone(), resumes_after: 0 });
            state.jobs.push(again);
        }
        Ok(retried)
    }

    async fn drain(&self, _: Caller, target: DrainTarget, how: DrainHow) -> Result<Vec<JobId>, ApiError> {
        self.0.state().drains.push(DrainView { target, how, since: 1_000_000 });
        Ok(Vec::new())
    }

    async fn undrain(&self, _: Caller, target: DrainTarget) -> Result<(), ApiError> {
        self.0.state().drains.retain(|drain| drain.target != target);
        Ok(())
    }

    async fn drains(&self, _: Caller) -> Result<Vec<DrainView>, ApiError> {
        Ok(self.0.state().drains.clone())
    }

    async fn watch(&self, _: Caller, after_seq: i64, _: Option<SubmissionId>) -> Result<Replies<WatchItem>, ApiError> {
        let memory = Arc::clone(&self.0);
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            let mut after = after_seq;
            let progress = Progress { phase: "epoch 1/2".into(), done: 1, total: 4, images_per_second: 10.0 };
            let _ = sender.send(Ok(WatchItem::Progress(JobId(1), progress))).await;
            while !sender.is_closed() {
                let news: Vec<_> = memory.state().events.iter().filter(|event| event.seq > after).cloned().collect();
                for event in news {
                    after = event.seq;
                    let _ = sender.send(Ok(WatchItem::Event(event))).await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver)))
    }

    async fn logs(
        &self,
        _: Caller,
        _: JobId,
        attempt: Option<AttemptId>,
        offset: u64,
        _: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        let log = self.0.state().log.clone();
        let attempt = attempt.unwrap_or(AttemptId(10));
        let chunks = log[offset as usize..].chunks(5).enumerate().map(move |(index, bytes)| {
            Ok(LogChunk { attempt, offset: offset + 5 * index as u64, bytes: Bytes::copy_from_slice(bytes) })
        });
        Ok(Box::pin(tokio_stream::iter(chunks.collect::<Vec<_>>())))
    }

    async fn workers(&self, _: Caller) -> Result<Vec<WorkerView>, ApiError> {
        let devices = vec![DeviceView { device: "cpu".into(), job: Some(JobId(1)), ..DeviceView::default() }];
        let (node, version) = ("node1".into(), "0.1.0".into());
        Ok(vec![WorkerView { id: WorkerId(1), node, version, online: true, last_seen_at: 1, devices, labels: vec![] }])
    }

    /// Of a worker that has nothing for the job.
    async fn explain(&self, _: Caller, id: JobId) -> Result<Explanation, ApiError> {
        let JobSummary { name, state, reason, priority, created_at, .. } = self.job(USER, id).await?.summary;
        let busy = Standing::Busy { job: JobId(9), name: "other".into(), since: 1, expected_end: None };
        let devices = vec![
            DeviceStanding { device: "cpu".into(), standing: Standing::OtherKind },
            DeviceStanding { device: "cuda:0".into(), standing: busy },
        ];
        let (node, lacks_labels) = ("node1".into(), vec![]);
        let (fitting, wanted, drained) = (1, 1, false);
        let worker = WorkerStanding { worker: WorkerId(1), node, lacks_labels, fitting, wanted, drained, devices };
        let group = AheadGroup { owner: UserName::lab(), why: AheadReason::Priority, jobs: 2 };
        Ok(Explanation {
            job: id,
            name,
            owner: UserName::lab(),
            state,
            since: created_at,
            reason,
            priority,
            device: DeviceRequest::Cuda,
            resources: ResourceRequest::default(),
            parents: vec![],
            not_before: None,
            held: false,
            drained: false,
            ahead: Some(Ahead { jobs: 2, is_more: false, groups: vec![group] }),
            workers: vec![worker],
        })
    }

    /// The only device that is out of service is cuda:0 of node1.
    async fn restore_device(&self, _: Caller, node: String, device: Device) -> Result<bool, ApiError> {
        match node == "node1" {
            true => Ok(device == Device::Cuda(0)),
            false => Err(ApiError::NotFound { what: format!("device {device} of {node}") }),
        }
    }

    /// A page for each image of the job's evaluations.
    async fn images(&self, _: Caller, id: JobId, from: ImagesFrom) -> Result<Replies<ImagesPage>, ApiError> {
        assert_eq!(from, ImagesFrom::default(), "no stream of this daemon breaks off");
        let evaluations = self.job(USER, id).await?.evaluations;
        let pages = (0..).zip(evaluations).flat_map(|(evaluation, record)| {
            let page = move |image| ImagesPage { evaluation, attack: record.attack.clone(), images: vec![image] };
            record.images.into_iter().map(page)
        });
        Ok(Box::pin(tokio_stream::iter(pages.map(Ok).collect::<Vec<_>>())))
    }

    async fn download(&self, _: Caller, _: ArtifactHash) -> Result<Artifact, ApiError> {
        absent()
    }

    async fn register(&self, _: Caller, _: Registration) -> Result<Registered, ApiError> {
        absent()
    }

    async fn lease(
        &self,
        _: Caller,
        _: WorkerId,
        _: RequestId,
        _: Vec<Device>,
        _: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        absent()
    }

    async fn heartbeat(&self, _: Caller, _: WorkerId, _: Vec<HeldAttempt>) -> Result<HeartbeatReply, ApiError> {
        absent()
    }

    async fn report(&self, _: Caller, _: AttemptId, _: u64, _: Vec<Record>) -> Result<u64, ApiError> {
        absent()
    }

    async fn settle(&self, _: Caller, _: AttemptId, _: u64, _: AttemptEnd) -> Result<(), ApiError> {
        absent()
    }

    async fn push_log(&self, _: Caller, _: AttemptId, _: u64, _: Bytes) -> Result<u64, ApiError> {
        absent()
    }

    async fn stored(&self, _: Caller, _: ArtifactHash) -> Result<bool, ApiError> {
        absent()
    }

    async fn import(&self, _: Caller, import: ImportedNetwork, mut body: Replies<Bytes>) -> Result<(), ApiError> {
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            content.extend_from_slice(&piece?);
        }
        let mut imports = self.0.imports.lock().unwrap();
        if imports.iter().any(|(known, _)| known.name == import.name && known.sha256 != import.sha256) {
            return Err(ApiError::Conflict { what: format!("the name {} is another network's", import.name) });
        }
        imports.push((import, content));
        Ok(())
    }

    async fn imports(&self, _: Caller) -> Result<Vec<ImportedNetwork>, ApiError> {
        Ok(self.0.imports.lock().unwrap().iter().map(|(import, _)| import.clone()).collect())
    }

    async fn upload(&self, _: Caller, _: Upload, _: Replies<Bytes>) -> Result<(), ApiError> {
        absent()
    }

    async fn deregister(&self, _: Caller, _: WorkerId) -> Result<(), ApiError> {
        absent()
    }
}
