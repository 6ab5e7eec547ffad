//! Pages of a database in a folder of its own, and a browser that is none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use prometheus::proto::MetricFamily;
use rrm_dashboard::{Audience, Later, Live, LogTail, serve};
use rrm_spec::{
    Accuracy, Assignment, AttemptId, AttemptOutcome, CheckpointRecord, CheckpointRole, Device, DeviceInfo, EpochRecord,
    JobChange, JobId, Plan, Progress, Record, Registration, RunStarted, UserName, WorkerId,
};
use rrm_store::{
    Backoff, Change, End, KeepArtifact, Lease, Register, Report, Reuse, Settle, Store, Strict, Submit, Write,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// What every text of others says here.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// A teacher, a student, and an evaluation, named by somebody who means no good.
const PLAN: &str = r#"
    name = '''<script>alert(1)</script>"'><img src=x onerror=alert(2)>'''
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 100 }
    arch = "dnn/16"
    epochs = 3
    batch_size = 50
    seed = 7
    optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
    [[job]]
    name = '''<script>alert(1)</script>"'><img src=x onerror=alert(2)>'''
    kind = "train"
    method = { kind = "natural" }
    [[job]]
    name = "student"
    kind = "train"
    method = { kind = "rrm", teacher = { job = '''<script>alert(1)</script>"'><img src=x onerror=alert(2)>''' }, representation_loss = "cosine", lambda = 0.005 }
    [[job]]
    name = "attack"
    kind = "evaluate"
    model = { job = "student" }
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5, restarts = 2 }
    batch_size = 50
    seed = 1
"#;

/// The daemon's memory, played.
pub(crate) struct Memory {
    pub(crate) log: Bytes,
    grown: watch::Sender<u64>,
    progress: broadcast::Sender<(JobId, Progress)>,
    stopping: CancellationToken,
}

impl Live for Memory {
    fn progress(&self, _: JobId) -> Option<Progress> {
        Some(Progress { phase: HOSTILE.into(), done: 1, total: 4, images_per_second: 100.0 })
    }

    fn last_seen(&self, _: WorkerId) -> Option<i64> {
        Some(1_700_000_000_000_000)
    }

    fn log_tail(&self, _: AttemptId, most: u64) -> Later<'_, io::Result<LogTail>> {
        let offset = (self.log.len() as u64).saturating_sub(most);
        let bytes = self.log.slice(offset as usize..);
        Box::pin(async move { Ok(LogTail { offset, bytes }) })
    }

    fn log(&self, _: AttemptId, offset: u64) -> Later<'_, io::Result<Bytes>> {
        let bytes = self.log.slice((offset as usize).min(self.log.len())..);
        Box::pin(async move { Ok(bytes) })
    }

    fn watch_progress(&self) -> broadcast::Receiver<(JobId, Progress)> {
        self.progress.subscribe()
    }

    fn watch_logs(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    fn measures(&self) -> Vec<MetricFamily> {
        Vec::new()
    }

    fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }
}

pub(crate) struct Desk {
    _folder: TempDir,
    pub(crate) store: Store,
    pub(crate) stopping: CancellationToken,
    address: std::net::SocketAddr,
    clock: AtomicI64,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, one a line.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::for_audience(Audience::ThisMachine).await
    }

    pub(crate) async fn for_audience(audience: Audience) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(&folder.path().join("rrm.db")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = CancellationToken::new();
        let memory = Memory {
            log: format!("{HOSTILE}\nsecond line\n").into(),
            grown: watch::Sender::new(0),
            progress: broadcast::Sender::new(8),
            stopping: stopping.clone(),
        };
        let shutdown = stopping.clone().cancelled_owned();
        tokio::spawn(serve(listener, audience, store.clone(), Arc::new(memory), "0.1.0", shutdown));
        Self { _folder: folder, store, stopping, address, clock: AtomicI64::new(1_700_000_000_000_000) }
    }

    /// The plan with its teacher failed after two epochs, and all else skipped; then once more, its teacher running.
    pub(crate) async fn filled() -> Self {
        let desk = Self::open().await;
        desk.submit().await;
        let worker = desk.worker().await;
        let first = desk.lease(worker).await;
        desk.train(&first, 2).await;
        desk.settle(&first, AttemptOutcome::UserError).await;
        desk.submit().await;
        let second = desk.lease(worker).await;
        desk.train(&second, 3).await;
        desk
    }

    pub(crate) async fn write<W: Write>(&self, write: W) -> W::Output {
        let now = self.clock.fetch_add(1_000_000, Ordering::Relaxed);
        self.store.write(now, write).await.unwrap()
    }

    pub(crate) async fn submit(&self) {
        let request = format!("request-{}", self.clock.load(Ordering::Relaxed)).parse().unwrap();
        let plan = Plan::from_toml(PLAN).unwrap_or_else(|faults| panic!("{faults}"));
        let (client_version, host) = ("0.1.0".to_owned(), HOSTILE.to_owned());
        self.write(Submit {
            request,
            plan,
            client_version,
            host,
            reuse: Reuse::No,
            owner: UserName::lab(),
            strict: Strict::No,
        })
        .await;
    }

    pub(crate) async fn worker(&self) -> WorkerId {
        let devices = vec![DeviceInfo { device: Device::Cpu, name: HOSTILE.into(), memory_mib: None, share: 1 }];
        let (node, version, boot_id) = (HOSTILE.to_owned(), "0.1.0".to_owned(), "boot-of-this-one".to_owned());
        let code_version = version.clone();
        let registration = Registration { node, version, boot_id, devices, labels: vec![], code_version };
        self.write(Register { registration }).await
    }

    pub(crate) async fn lease(&self, worker: WorkerId) -> Assignment {
        let request = format!("lease-{}", self.clock.load(Ordering::Relaxed)).parse().unwrap();
        let lease = Lease { worker, request, free: vec![Device::Cpu], held: vec![] };
        self.write(lease).await.pop().expect("a job is queued")
    }

    pub(crate) async fn train(&self, assignment: &Assignment, epochs: u32) {
        let attempt = assignment.attempt;
        let started = RunStarted {
            device: "cpu".into(),
            threads: 2,
            code_version: "0.1.0".into(),
            parameters: 12_345,
            first_epoch: 1,
            data_sha256: None,
            spec_sha256: None,
        };
        let sha256: rrm_spec::ArtifactHash = format!("{:064x}", attempt.0).parse().unwrap();
        self.write(KeepArtifact { sha256: sha256.clone(), bytes: 10 }).await;
        let path = "checkpoint.safetensors".into();
        let checkpoint = CheckpointRecord { epoch: epochs, role: CheckpointRole::Resume, path, sha256, bytes: 10 };
        let mut records = vec![Record::Started(started)];
        records.extend((1..=epochs).map(|number| Record::Epoch(epoch(number))));
        records.push(Record::Checkpoint(checkpoint));
        self.write(Report { attempt, first_seq: 1, records }).await;
    }

    pub(crate) async fn settle(&self, assignment: &Assignment, outcome: AttemptOutcome) {
        let end = End { outcome, message: Some(HOSTILE.into()), exit_code: Some(1), signal: None };
        self.write(Settle {
            attempt: assignment.attempt,
            records_seq: 4,
            end,
            backoff: Backoff { base_us: 0, jitter: 1.0 },
        })
        .await;
    }

    pub(crate) async fn change(&self, job: i64, change: JobChange) {
        self.write(Change { jobs: vec![JobId(job)], change }).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "Host: localhost").await
    }

    /// One request and its whole answer. HTTP/1.0, so that the answer ends with the connection.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut connection = self.send(method, path, headers).await;
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an answer has a status");
        Answer { status, headers: headers.to_lowercase(), body: body.to_owned() }
    }

    /// A request whose answer is read later, or never.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\n{headers}\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }
}

fn epoch(number: u32) -> EpochRecord {
    let accuracy = |correct| Accuracy { correct, total: 100 };
    EpochRecord {
        epoch: number,
        train_us: 1_500_000,
        validation_us: 100_000,
        images: 100,
        learning_rate: 0.1,
        loss: 2.0 / f64::from(number),
        train: accuracy(50),
        natural: accuracy(60 + u64::from(number)),
        robust: Some(accuracy(30)),
    }
}
