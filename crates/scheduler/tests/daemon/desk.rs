//! A daemon in a folder of its own, and sentences about it.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rrm_api::{ApiError, AttemptEnd, Caller, Role, Service, Source, Submitted, Upload, VERSION, Wishes};
use rrm_scheduler::{Daemon, StateDir, Terms};
use rrm_spec::{
    Accuracy, ArtifactHash, Assignment, AttemptId, AttemptOutcome, CheckpointRecord, CheckpointRole, Device,
    DeviceInfo, EpochRecord, EvaluationRecord, HeartbeatReply, HeldAttempt, ImageOutcome, JobDetail, JobId, JobSpec,
    JobState, Outcome, Plan, Progress, Record, Registration, RunStarted, UserName, WorkerId,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const USER: Caller = Caller { user: UserName::lab(), role: Role::Admin, expires_at: None };
pub(crate) const WORKER: Caller = Caller { user: UserName::lab(), role: Role::Work, expires_at: None };
pub(crate) const TTL: Duration = Duration::from_secs(30);
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) daemon: Daemon,
    state: StateDir,
}

/// A teacher, a student of it, and an evaluation of the student.
pub(crate) const CHAIN: &str = r#"
    name = "chain"
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 100 }
    arch = "dnn/16"
    epochs = 2
    batch_size = 50
    seed = 7
    optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
    [[job]]
    name = "teacher"
    kind = "train"
    method = { kind = "natural" }
    [[job]]
    name = "student"
    kind = "train"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }
    [[job]]
    name = "attack"
    kind = "evaluate"
    model = { job = "student" }
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5 }
    batch_size = 50
    seed = 1
"#;

pub(crate) fn chain() -> Plan {
    Plan::from_toml(CHAIN).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(crate) fn single() -> Plan {
    let mut plan = chain();
    plan.jobs.truncate(1);
    plan
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let daemon = open(&state).await;
        Self { folder, daemon, state }
    }

    /// Another daemon on the same folder, as after a crash and a restart.
    pub(crate) async fn restarted(self) -> Self {
        self.daemon.close().await;
        let daemon = open(&self.state).await;
        Self { daemon, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn submit(&self, plan: &Plan) -> Submitted {
        self.submit_as(USER, plan).await
    }

    pub(crate) async fn submit_as(&self, caller: Caller, plan: &Plan) -> Submitted {
        let request = format!("request-{}", hash(&format!("{plan:?}{:?}", Instant::now())).as_str()[..20].to_owned());
        let source = Source { client_version: VERSION.into(), host: "desk".into() };
        self.daemon.submit(caller, request.parse().unwrap(), plan.clone(), source, Wishes::default()).await.unwrap()
    }

    pub(crate) async fn submitted(&self, plan: &Plan) -> Vec<JobId> {
        self.submit(plan).await.jobs.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) async fn worker(&self, node: &str) -> WorkerId {
        self.daemon.register(WORKER, registration(node)).await.unwrap().worker
    }

    pub(crate) async fn lease_as(&self, worker: WorkerId, request: &str) -> Vec<Assignment> {
        let request = request.parse().unwrap();
        self.daemon.lease(WORKER, worker, request, vec![Device::Cpu], vec![]).await.unwrap()
    }

    /// Leases the one job that there is.
    pub(crate) async fn start(&self, worker: WorkerId) -> Assignment {
        let request = format!("lease-{}", &hash(&format!("{:?}", Instant::now())).as_str()[..20]);
        self.lease_as(worker, &request).await.pop().expect("a job is queued")
    }

    pub(crate) async fn beat(&self, worker: WorkerId, held: &[AttemptId]) -> HeartbeatReply {
        let held = held.iter().map(|&attempt| HeldAttempt { attempt, progress: Some(progress(3)) }).collect();
        self.daemon.heartbeat(WORKER, worker, held).await.unwrap()
    }

    pub(crate) async fn report(&self, attempt: AttemptId, first: u64, records: &[Record]) -> Result<u64, ApiError> {
        self.daemon.report(WORKER, attempt, first, records.to_vec()).await
    }

    pub(crate) async fn settle(
        &self,
        attempt: AttemptId,
        records: u64,
        outcome: AttemptOutcome,
    ) -> Result<(), ApiError> {
        let end = AttemptEnd { outcome, message: Some("a word".into()), exit_code: Some(0), signal: None };
        self.daemon.settle(WORKER, attempt, records, end).await
    }

    pub(crate) async fn upload(&self, attempt: AttemptId, content: &str) -> Result<(), ApiError> {
        let upload = Upload { attempt, sha256: hash(content), bytes: content.len() as u64 };
        let pieces = content.as_bytes().chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
        self.daemon.upload(WORKER, upload, Box::pin(tokio_stream::iter(pieces))).await
    }

    pub(crate) async fn job(&self, id: JobId) -> JobDetail {
        self.daemon.job(USER, id).await.unwrap()
    }

    pub(crate) async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.summary.state
    }

    /// Does all that a trainer does, and settles.
    pub(crate) async fn finish(&self, lease: &Assignment) {
        let records = whole_run(lease);
        for record in &records {
            if let Record::Checkpoint(checkpoint) = record {
                self.upload(lease.attempt, &content(lease.attempt, checkpoint.epoch, checkpoint.role)).await.unwrap();
            }
        }
        let durable = self.report(lease.attempt, 1, &records).await.unwrap();
        self.settle(lease.attempt, durable, AttemptOutcome::Ok).await.unwrap();
    }

    /// Everyone has been silent for longer than any term.
    pub(crate) async fn let_terms_run_out(&self) {
        self.daemon.expire(Instant::now() + 2 * TTL).await.unwrap();
    }
}

async fn open(state: &StateDir) -> Daemon {
    Daemon::open(state, Terms::new(TTL), Duration::ZERO, KEEP).await.unwrap()
}

pub(crate) fn registration(node: &str) -> Registration {
    let devices =
        vec![DeviceInfo { device: Device::Cpu, name: "a processor".into(), memory_mib: Some(1024), share: 1 }];
    Registration {
        node: node.into(),
        version: VERSION.into(),
        boot_id: format!("boot-of-{node}"),
        devices,
        labels: vec![],
        code_version: VERSION.into(),
    }
}

pub(crate) fn progress(done: u64) -> Progress {
    Progress { phase: "epoch 1/2".into(), done, total: 10, images_per_second: 100.0 }
}

pub(crate) fn hash(content: &str) -> ArtifactHash {
    hex::encode(Sha256::digest(content)).parse().unwrap()
}

/// What a checkpoint's file holds.
pub(crate) fn content(attempt: AttemptId, epoch: u32, role: CheckpointRole) -> String {
    format!("{role:?} of epoch {epoch} by attempt {attempt}")
}

pub(crate) fn started(first_epoch: u32) -> Record {
    let (device, code_version) = ("cpu".into(), VERSION.into());
    let (data_sha256, spec_sha256) = (None, None);
    Record::Started(RunStarted {
        device,
        threads: 2,
        code_version,
        parameters: 1234,
        first_epoch,
        data_sha256,
        spec_sha256,
    })
}

pub(crate) fn epoch(epoch: u32) -> Record {
    let half = Accuracy { correct: 50, total: 100 };
    Record::Epoch(EpochRecord {
        epoch,
        train_us: 1,
        validation_us: 1,
        images: 100,
        learning_rate: 0.1,
        loss: 0.5,
        train: half,
        natural: half,
        robust: None,
    })
}

pub(crate) fn checkpoint(attempt: AttemptId, epoch: u32, role: CheckpointRole) -> Record {
    let content = content(attempt, epoch, role);
    let (path, bytes) = ("somewhere".into(), content.len() as u64);
    Record::Checkpoint(CheckpointRecord { epoch, role, path, sha256: hash(&content), bytes })
}

pub(crate) fn whole_run(lease: &Assignment) -> Vec<Record> {
    let first = lease.resume.as_ref().map_or(1, |resume| resume.epoch + 1);
    let mut records = vec![started(first)];
    match &lease.spec {
        // A synthesis tells its parts as epochs.
        JobSpec::Train(_) | JobSpec::Synthesize(_) => {
            let epochs = lease.spec.epochs();
            for number in first..=epochs {
                records.push(epoch(number));
                records.push(checkpoint(lease.attempt, number, CheckpointRole::Resume));
            }
            records.push(checkpoint(lease.attempt, epochs, CheckpointRole::Final));
        }
        JobSpec::Evaluate(spec) => records.push(Record::Evaluation(EvaluationRecord {
            attack: spec.attack.clone(),
            natural: Accuracy { correct: 1, total: 1 },
            robust: Accuracy { correct: 0, total: 1 },
            elapsed_us: 1,
            weights: hash("weights"),
            images: vec![ImageOutcome {
                image: 0,
                label: 1,
                prediction: 1,
                outcome: Outcome::Broken { restart: 0 },
                closest: None,
            }],
            classes: vec![],
            audit: None,
        })),
    }
    records
}
