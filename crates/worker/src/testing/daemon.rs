//! A daemon in memory that takes everything from one attempt.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rrm_api::*;
use rrm_spec::*;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::StreamExt;

/// What it has been told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) records: Vec<Record>,
    pub(crate) log: Vec<u8>,
    pub(crate) end: Option<AttemptEnd>,
    /// Attempts that have ended, and how.
    pub(crate) settled: Vec<(AttemptId, AttemptOutcome)>,
    /// What the newest heartbeat named.
    pub(crate) held: Vec<AttemptId>,
    /// The devices that were free whenever somebody asked for work.
    pub(crate) asked: Vec<Vec<Device>>,
    pub(crate) artifacts: HashMap<ArtifactHash, Bytes>,
    /// Workers that introduced themselves, and those that left.
    pub(crate) registered: Vec<String>,
    pub(crate) left: Vec<WorkerId>,
}

#[derive(Default)]
pub(crate) struct Daemon {
    pub(crate) told: Mutex<Told>,
    /// Changes with every call.
    changes: watch::Sender<u64>,
    /// So many calls are answered by unavailability.
    pub(crate) away_for: AtomicU32,
    /// What records are answered with, where that is not success.
    pub(crate) refusal: Mutex<Option<ApiError>>,
    /// More records at once are too large; 0 = no limit.
    pub(crate) most_records: AtomicU32,
    /// Handed out to whoever has its device free and does not hold it, until it is settled.
    offers: watch::Sender<Vec<Assignment>>,
    /// So many answers with assignments are never sent.
    pub(crate) lost_leases: AtomicU32,
    /// Told by every heartbeat.
    pub(crate) instruction: Mutex<Option<Instruction>>,
    /// The next heartbeat is answered as if the worker had never been seen.
    pub(crate) forget: AtomicU32,
    /// What workers are told at their registration; 0 = 10.
    pub(crate) heartbeat_ms: AtomicU32,
}

pub(crate) fn token() -> Token {
    Token::new("worker-0123456789abcdef").unwrap()
}

impl Daemon {
    /// Serves on a free port for as long as the test runs.
    pub(crate) async fn start() -> (Arc<Self>, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let daemon = Arc::new(Self::default());
        let user = Token::new("user-0123456789abcdef").unwrap();
        let tokens = Tokens { user, worker: token() };
        tokio::spawn(serve(listener, None, Arc::clone(&daemon), tokens, std::future::pending()));
        let client = Client::new(&Endpoint { url, token: token(), tls: None }).unwrap();
        (daemon, client.with_patience(Duration::ZERO))
    }

    /// Waits until what was told is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Told) -> bool) {
        let mut changes = self.changes.subscribe();
        let reached = changes.wait_for(|_| wanted(&self.told.lock().unwrap()));
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("it comes within 20 s").unwrap();
    }

    pub(crate) fn hand_out(&self, assignment: Assignment) {
        self.offers.send_modify(|offers| offers.push(assignment));
    }

    pub(crate) fn end(&self) -> AttemptEnd {
        self.told.lock().unwrap().end.clone().expect("the attempt is settled")
    }

    fn take<T>(&self, change: impl FnOnce(&mut Told) -> T) -> Result<T, ApiError> {
        if counted_down(&self.away_for) {
            return Err(ApiError::Unavailable { what: "away".into() });
        }
        let told = change(&mut self.told.lock().unwrap());
        self.changes.send_modify(|changes| *changes += 1);
        Ok(told)
    }
}

/// Whether there was something left to count.
fn counted_down(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn not_for_workers<T>() -> Result<T, ApiError> {
    Err(ApiError::Internal { what: "no worker calls this".into() })
}

impl Service for Daemon {
    async fn is_healthy(&self) -> bool {
        true
    }

    fn caller(&self, _: TokenHash) -> Option<Caller> {
        None
    }

    async fn about(&self, _: Caller) -> Result<About, ApiError> {
        not_for_workers()
    }

    async fn add_token(&self, _: Caller, _: Grant) -> Result<(), ApiError> {
        not_for_workers()
    }

    async fn tokens(&self, _: Caller) -> Result<Vec<GrantView>, ApiError> {
        not_for_workers()
    }

    async fn revoke_token(&self, _: Caller, _: TokenHash) -> Result<(), ApiError> {
        not_for_workers()
    }

    async fn submit(&self, _: Caller, _: RequestId, _: Plan, _: Source, _: Wishes) -> Result<Submitted, ApiError> {
        not_for_workers()
    }

    async fn list(&self, _: Caller, _: JobFilter) -> Result<Vec<JobSummary>, ApiError> {
        not_for_workers()
    }

    async fn job(&self, _: Caller, _: JobId) -> Result<JobDetail, ApiError> {
        not_for_workers()
    }

    async fn cancel(&self, _: Caller, _: Vec<JobId>) -> Result<Vec<JobSummary>, ApiError> {
        not_for_workers()
    }

    async fn change(&self, _: Caller, _: Vec<JobId>, _: JobChange) -> Result<Vec<JobSummary>, ApiError> {
        not_for_workers()
    }

    async fn preempt(
        &self,
        _: Caller,
        _: RequestId,
        _: Vec<JobId>,
        _: AfterPreemption,
    ) -> Result<Vec<JobSummary>, ApiError> {
        not_for_workers()
    }

    async fn retry(&self, _: Caller, _: RequestId, _: Vec<JobId>, _: RetryWish) -> Result<Vec<Retried>, ApiError> {
        not_for_workers()
    }

    async fn drain(&self, _: Caller, _: DrainTarget, _: DrainHow) -> Result<Vec<JobId>, ApiError> {
        not_for_workers()
    }

    async fn undrain(&self, _: Caller, _: DrainTarget) -> Result<(), ApiError> {
        not_for_workers()
    }

    async fn drains(&self, _: Caller) -> Result<Vec<DrainView>, ApiError> {
        not_for_workers()
    }

    async fn watch(&self, _: Caller, _: i64, _: Option<SubmissionId>) -> Result<Replies<WatchItem>, ApiError> {
        not_for_workers()
    }

    async fn logs(
        &self,
        _: Caller,
        _: JobId,
        _: Option<AttemptId>,
        _: u64,
        _: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        not_for_workers()
    }

    async fn workers(&self, _: Caller) -> Result<Vec<WorkerView>, ApiError> {
        not_for_workers()
    }

    async fn explain(&self, _: Caller, _: JobId) -> Result<Explanation, ApiError> {
        not_for_workers()
    }

    async fn restore_device(&self, _: Caller, _: String, _: Device) -> Result<bool, ApiError> {
        not_for_workers()
    }

    async fn images(&self, _: Caller, _: JobId, _: ImagesFrom) -> Result<Replies<ImagesPage>, ApiError> {
        not_for_workers()
    }

    async fn download(&self, _: Caller, sha256: ArtifactHash) -> Result<Artifact, ApiError> {
        let content = self.take(|told| told.artifacts.get(&sha256).cloned())?;
        let content = content.ok_or(ApiError::NotFound { what: format!("artifact {sha256}") })?;
        Ok(Artifact { bytes: content.len() as u64, content: Box::pin(std::io::Cursor::new(content)) })
    }

    async fn register(&self, _: Caller, registration: Registration) -> Result<Registered, ApiError> {
        let worker = self.take(|told| {
            told.registered.push(registration.boot_id);
            WorkerId(told.registered.len() as i64)
        })?;
        let heartbeat_ms = match self.heartbeat_ms.load(Ordering::SeqCst) {
            0 => 10,
            told => told.into(),
        };
        Ok(Registered { worker, ttl_ms: 1000, heartbeat_ms })
    }

    async fn lease(
        &self,
        _: Caller,
        _: WorkerId,
        _: RequestId,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        self.take(|told| told.asked.push(free.clone()))?;
        let fits = |offer: &&Assignment| free.contains(&offer.device) && !held.contains(&offer.attempt);
        let mut offers = self.offers.subscribe();
        offers.wait_for(|offers| offers.iter().any(|offer| fits(&offer))).await.unwrap();
        let assignments = self.offers.borrow().iter().filter(fits).cloned().collect();
        match counted_down(&self.lost_leases) {
            true => {
                self.take(|_| ())?;
                std::future::pending().await
            }
            false => Ok(assignments),
        }
    }

    async fn heartbeat(&self, _: Caller, worker: WorkerId, held: Vec<HeldAttempt>) -> Result<HeartbeatReply, ApiError> {
        self.take(|told| {
            told.held = held.iter().map(|held| held.attempt).collect();
            told.held.sort_unstable();
        })?;
        let forgotten = counted_down(&self.forget);
        let instruction = self.instruction.lock().unwrap().unwrap_or(Instruction::Continue);
        let instructions = held.into_iter().map(|held| (held.attempt, instruction)).collect();
        Ok(HeartbeatReply { instructions, known: (!forgotten).then_some(worker) })
    }

    async fn report(&self, _: Caller, _: AttemptId, first: u64, records: Vec<Record>) -> Result<u64, ApiError> {
        if let (false, Some(refusal)) = (records.is_empty(), self.refusal.lock().unwrap().clone()) {
            return Err(refusal);
        }
        let most = self.most_records.load(Ordering::SeqCst) as usize;
        if most > 0 && records.len() > most {
            return Err(ApiError::TooLarge { what: "these records".into() });
        }
        self.take(|told| {
            let known = told.records.len() + 1 - first as usize;
            told.records.extend(records.into_iter().skip(known));
            told.records.len() as u64
        })
    }

    async fn settle(&self, _: Caller, attempt: AttemptId, records: u64, end: AttemptEnd) -> Result<(), ApiError> {
        self.take(|told| {
            assert_eq!(told.records.len() as u64, records);
            told.settled.push((attempt, end.outcome));
            told.end = Some(end);
            self.offers.send_modify(|offers| offers.retain(|offer| offer.attempt != attempt));
        })
    }

    async fn push_log(&self, _: Caller, _: AttemptId, offset: u64, bytes: Bytes) -> Result<u64, ApiError> {
        self.take(|told| {
            if offset == told.log.len() as u64 {
                told.log.extend_from_slice(&bytes);
            }
            told.log.len() as u64
        })
    }

    async fn stored(&self, _: Caller, sha256: ArtifactHash) -> Result<bool, ApiError> {
        self.take(|told| told.artifacts.contains_key(&sha256))
    }

    async fn upload(&self, _: Caller, upload: Upload, mut body: Replies<Bytes>) -> Result<(), ApiError> {
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            content.extend_from_slice(&piece?);
        }
        self.take(|told| told.artifacts.insert(upload.sha256, content.into())).map(drop)
    }

    async fn last_plan(&self, _: Caller) -> Result<LastPlan, ApiError> {
        not_for_workers()
    }

    async fn import(&self, _: Caller, _: ImportedNetwork, _: Replies<Bytes>) -> Result<(), ApiError> {
        not_for_workers()
    }

    async fn imports(&self, _: Caller) -> Result<Vec<ImportedNetwork>, ApiError> {
        not_for_workers()
    }

    async fn deregister(&self, _: Caller, worker: WorkerId) -> Result<(), ApiError> {
        self.take(|told| told.left.push(worker))
    }
}
