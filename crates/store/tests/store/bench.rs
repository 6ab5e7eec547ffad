//! A database in a folder of its own, and sentences about it.

use std::sync::atomic::{AtomicI64, Ordering};

use rrm_spec::{
    Accuracy, AfterPreemption, ArtifactHash, Assignment, AttemptId, AttemptOutcome, Audit, CheckpointRecord,
    CheckpointRole, ClassAccuracy, ClosestPoint, Device, DeviceInfo, Diagnostic, DiagnosticsRecord, DrainHow,
    DrainTarget, EpochRecord, EvaluationRecord, ImageOutcome, JobChange, JobDetail, JobId, JobSpec, JobState, Norm,
    Outcome, Plan, Record, Registration, Retried, RetryWish, RunStarted, ThreatModel, WorkerId,
};
use rrm_store::{
    Backoff, Cancel, Change, Drain, End, Expire, GivingWay, KeepArtifact, Lease, Preempt, Register, Report, Retry,
    Reuse, Settle, Store, StoreError, Strict, Submit, Submitted, Undrain, Write,
};
use tempfile::TempDir;

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    clock: AtomicI64,
    requests: AtomicI64,
}

/// A teacher, a student of it, and an evaluation of the student; 3 epochs each.
pub(crate) const CHAIN: &str = r#"
    name = "chain"
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 100 }
    arch = "dnn/16"
    epochs = 3
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
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5, restarts = 2 }
    batch_size = 50
    seed = 1
"#;

pub(crate) fn plan(toml: &str) -> Plan {
    Plan::from_toml(toml).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A plan of one train job.
pub(crate) fn single(name: &str) -> Plan {
    let mut plan = plan(CHAIN);
    plan.jobs.truncate(1);
    plan.name = name.to_owned();
    plan
}

impl Bench {
    pub(crate) async fn new() -> Self {
        // Memory where there is some: tests commit thousands of times and need no power cut.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(&folder.path().join("rrm.db")).await.unwrap();
        Self { folder, store, clock: AtomicI64::new(1_000_000), requests: AtomicI64::new(0) }
    }

    /// Closes and opens the database.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        let store = Store::open(&self.folder.path().join("rrm.db")).await.unwrap();
        Self { store, ..self }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.fetch_add(1_000, Ordering::Relaxed)
    }

    pub(crate) fn skip_time(&self, us: i64) {
        self.clock.fetch_add(us, Ordering::Relaxed);
    }

    fn request(&self) -> rrm_spec::RequestId {
        format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
    }

    pub(crate) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        self.store.write(self.now(), write).await
    }

    pub(crate) async fn submit(&self, plan: &Plan) -> Result<Submitted, StoreError> {
        self.submit_as(self.request().as_str(), plan).await
    }

    pub(crate) async fn submit_as(&self, request: &str, plan: &Plan) -> Result<Submitted, StoreError> {
        self.submit_with(request, plan, Reuse::No).await
    }

    pub(crate) async fn submit_with(&self, request: &str, plan: &Plan, reuse: Reuse) -> Result<Submitted, StoreError> {
        self.submit_wishing(request, plan, "lab", reuse, Strict::No).await
    }

    pub(crate) async fn submit_wishing(
        &self,
        request: &str,
        plan: &Plan,
        owner: &str,
        reuse: Reuse,
        strict: Strict,
    ) -> Result<Submitted, StoreError> {
        let (client_version, host) = ("0.1.0".to_owned(), "desk".to_owned());
        let (request, owner) = (request.parse().unwrap(), owner.parse().unwrap());
        self.write(Submit { request, plan: plan.clone(), client_version, host, reuse, owner, strict }).await
    }

    /// Submits somebody's plan and hands back the jobs' ids.
    pub(crate) async fn submitted_by(&self, owner: &str, plan: &Plan) -> Vec<JobId> {
        let submitted = self.submit_wishing(self.request().as_str(), plan, owner, Reuse::No, Strict::No).await;
        submitted.unwrap().jobs.into_iter().map(|(id, _)| id).collect()
    }

    /// Submits what has not been done before.
    pub(crate) async fn submit_new(&self, plan: &Plan) -> Submitted {
        self.submit_with(self.request().as_str(), plan, Reuse::Yes).await.unwrap()
    }

    /// Submits and hands back the jobs' ids.
    pub(crate) async fn submitted(&self, plan: &Plan) -> Vec<JobId> {
        self.submit(plan).await.unwrap().jobs.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) async fn worker(&self, node: &str, devices: &[Device]) -> WorkerId {
        self.booted(node, "only", devices).await
    }

    /// One of several processes on a node.
    pub(crate) async fn booted(&self, node: &str, boot: &str, devices: &[Device]) -> WorkerId {
        self.machine(node, boot, &devices.iter().map(|&device| (device, 8192)).collect::<Vec<_>>(), 1, &[]).await
    }

    /// A worker with devices of so many MiB, each for `share` jobs, and labels.
    pub(crate) async fn machine(
        &self,
        node: &str,
        boot: &str,
        devices: &[(Device, u64)],
        share: u32,
        labels: &[&str],
    ) -> WorkerId {
        let info = |&(device, mib): &(Device, u64)| {
            let (name, memory_mib) = ("a device".into(), Some(mib));
            DeviceInfo { device, name, memory_mib, share }
        };
        let devices = devices.iter().map(info).collect();
        let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
        let (version, boot_id) = ("0.1.0".into(), format!("boot-{boot}-of-{node}"));
        let code_version = "0.1.0".into();
        let registration = Registration { node: node.into(), version, boot_id, devices, labels, code_version };
        self.write(Register { registration }).await.unwrap()
    }

    pub(crate) async fn lease(&self, worker: WorkerId, free: &[Device]) -> Vec<Assignment> {
        self.lease_as(worker, self.request().as_str(), free, &[]).await.unwrap()
    }

    pub(crate) async fn lease_as(
        &self,
        worker: WorkerId,
        request: &str,
        free: &[Device],
        held: &[AttemptId],
    ) -> Result<Vec<Assignment>, StoreError> {
        let request = request.parse().unwrap();
        self.write(Lease { worker, request, free: free.to_vec(), held: held.to_vec() }).await
    }

    /// Leases the one job that there is for a processor.
    pub(crate) async fn start(&self, worker: WorkerId) -> Assignment {
        self.lease(worker, &[Device::Cpu]).await.pop().expect("a job is queued")
    }

    pub(crate) async fn report(
        &self,
        attempt: AttemptId,
        first_seq: u64,
        records: &[Record],
    ) -> Result<u64, StoreError> {
        self.write(Report { attempt, first_seq, records: records.to_vec() }).await
    }

    pub(crate) async fn keep(&self, sha256: &ArtifactHash) {
        self.write(KeepArtifact { sha256: sha256.clone(), bytes: 10 }).await.unwrap();
    }

    pub(crate) async fn settle(
        &self,
        attempt: AttemptId,
        records_seq: u64,
        outcome: AttemptOutcome,
    ) -> Result<JobState, StoreError> {
        let end = End { outcome, message: None, exit_code: Some(0), signal: None };
        let backoff = Backoff { base_us: 10_000_000, jitter: 1.0 };
        self.write(Settle { attempt, records_seq, end, backoff }).await
    }

    pub(crate) async fn expire(&self, attempt: AttemptId) -> Vec<AttemptId> {
        self.write(Expire { attempts: vec![attempt] }).await.unwrap()
    }

    pub(crate) async fn cancel(&self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        self.write(Cancel { jobs: jobs.to_vec() }).await
    }

    pub(crate) async fn change(&self, jobs: &[JobId], change: JobChange) -> Result<(), StoreError> {
        self.write(Change { jobs: jobs.to_vec(), change }).await
    }

    pub(crate) async fn preempt(&self, jobs: &[JobId], then: AfterPreemption) -> Result<Vec<JobId>, StoreError> {
        let preempted = self.preempt_as(self.request().as_str(), jobs, then).await?;
        Ok(preempted.into_iter().map(|it| it.job).collect())
    }

    pub(crate) async fn preempt_as(
        &self,
        request: &str,
        jobs: &[JobId],
        then: AfterPreemption,
    ) -> Result<Vec<GivingWay>, StoreError> {
        self.write(Preempt { request: request.parse().unwrap(), jobs: jobs.to_vec(), then }).await
    }

    pub(crate) async fn retry(&self, jobs: &[JobId], wish: RetryWish) -> Result<Vec<Retried>, StoreError> {
        self.retry_as(self.request().as_str(), jobs, wish).await
    }

    pub(crate) async fn retry_as(
        &self,
        request: &str,
        jobs: &[JobId],
        wish: RetryWish,
    ) -> Result<Vec<Retried>, StoreError> {
        self.write(Retry { request: request.parse().unwrap(), jobs: jobs.to_vec(), wish }).await
    }

    pub(crate) async fn drain(&self, target: DrainTarget, how: DrainHow) -> Result<Vec<JobId>, StoreError> {
        let told = self.write(Drain { target, how }).await?;
        Ok(told.into_iter().map(|it| it.job).collect())
    }

    pub(crate) async fn undrain(&self, target: DrainTarget) -> Result<(), StoreError> {
        self.write(Undrain { target }).await
    }

    /// How often something of this kind has happened.
    pub(crate) async fn count(&self, kind: &str) -> usize {
        self.event_kinds().await.iter().filter(|other| *other == kind).count()
    }

    pub(crate) async fn job(&self, id: JobId) -> JobDetail {
        self.store.job(id).await.unwrap()
    }

    pub(crate) async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.summary.state
    }

    /// Kinds of the events, in order.
    pub(crate) async fn event_kinds(&self) -> Vec<String> {
        self.store.events(0, None, 10_000).await.unwrap().into_iter().map(|event| event.kind).collect()
    }

    /// Trains all of a job's epochs, uploads and reports, and settles it as done.
    pub(crate) async fn finish(&self, assignment: &Assignment) -> JobState {
        self.end_with(assignment, &whole_run(assignment), AttemptOutcome::Ok).await
    }

    /// Uploads and reports this much, and settles the attempt.
    pub(crate) async fn end_with(&self, of: &Assignment, records: &[Record], outcome: AttemptOutcome) -> JobState {
        for record in records {
            if let Record::Checkpoint(checkpoint) = record {
                self.keep(&checkpoint.sha256).await;
            }
        }
        let durable = self.report(of.attempt, 1, records).await.unwrap();
        self.settle(of.attempt, durable, outcome).await.unwrap()
    }
}

/// All records of an attempt that nothing disturbs.
pub(crate) fn whole_run(assignment: &Assignment) -> Vec<Record> {
    let first = assignment.resume.as_ref().map_or(1, |resume| resume.epoch + 1);
    let last = assignment.spec.epochs();
    let mut records = vec![started(first)];
    if last == 0 {
        records.push(Record::Evaluation(evaluation(&assignment.spec)));
        if matches!(&assignment.spec, JobSpec::Evaluate(spec) if spec.diagnostics.is_some()) {
            records.push(Record::Diagnostics(diagnostics()));
        }
        // Of an evaluation that keeps its images these are the product.
        let keeps = matches!(&assignment.spec, JobSpec::Evaluate(spec) if spec.keep_images);
        records.extend(keeps.then(|| checkpoint(assignment.attempt, 1, CheckpointRole::Final)));
        return records;
    }
    for epoch in first..=last {
        records.push(Record::Epoch(epoch_record(epoch)));
        records.push(checkpoint(assignment.attempt, epoch, CheckpointRole::Resume));
    }
    records.push(checkpoint(assignment.attempt, last, CheckpointRole::Final));
    records
}

pub(crate) fn started(first_epoch: u32) -> Record {
    let (device, code_version) = ("cpu".into(), "0.1.0".into());
    let (data_sha256, spec_sha256) = (Some(hash("images")), Some(hash("spec")));
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

pub(crate) fn epoch_record(epoch: u32) -> EpochRecord {
    let counts = |correct| Accuracy { correct, total: 100 };
    EpochRecord {
        epoch,
        train_us: 2_000_000,
        validation_us: 500_000,
        images: 100,
        learning_rate: 0.1,
        loss: 1.0 / f64::from(epoch),
        train: counts(50),
        natural: counts(60 + u64::from(epoch)),
        robust: (epoch > 1).then(|| counts(40)),
    }
}

pub(crate) fn epoch(epoch: u32) -> Record {
    Record::Epoch(epoch_record(epoch))
}

pub(crate) fn hash(text: &str) -> ArtifactHash {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(text)).parse().unwrap()
}

pub(crate) fn checkpoint_record(attempt: AttemptId, epoch: u32, role: CheckpointRole) -> CheckpointRecord {
    let sha256 = hash(&format!("{attempt} {epoch} {role:?}"));
    CheckpointRecord { epoch, role, path: "resume.safetensors".into(), sha256, bytes: 10 }
}

pub(crate) fn checkpoint(attempt: AttemptId, epoch: u32, role: CheckpointRole) -> Record {
    Record::Checkpoint(checkpoint_record(attempt, epoch, role))
}

pub(crate) fn diagnostics() -> DiagnosticsRecord {
    DiagnosticsRecord {
        weights: hash("weights"),
        threat: ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() },
        elapsed_us: 7,
        numbers: vec![Diagnostic::new("images", 3.0, "all"), Diagnostic::new("ladder.x0.001.robust", 0.5, "")],
    }
}

pub(crate) fn evaluation(spec: &JobSpec) -> EvaluationRecord {
    let JobSpec::Evaluate(spec) = spec else { panic!("a train job has no evaluation") };
    let image = |image, outcome| ImageOutcome { image, label: image % 2, prediction: 3, outcome, closest: None };
    let closest = |iteration, margin| Some(ClosestPoint { part: 0, iteration, loss: 2.5, margin });
    let images = vec![
        ImageOutcome { closest: closest(None, 0.25), ..image(0, Outcome::Robust) },
        ImageOutcome { closest: closest(Some(3), -1.0), ..image(1, Outcome::Broken { restart: 1 }) },
        image(2, Outcome::Misclassified),
    ];
    EvaluationRecord {
        attack: spec.attack.clone(),
        natural: Accuracy { correct: 2, total: 3 },
        robust: Accuracy { correct: 1, total: 3 },
        elapsed_us: 9_000_000,
        weights: hash("weights"),
        classes: ClassAccuracy::of(&images),
        images,
        audit: Some(Audit {
            largest_change: 8.0 / 255.0,
            outside_box: 0,
            not_finite: 0,
            recounted: Accuracy { correct: 1, total: 3 },
            rounded: Accuracy { correct: 2, total: 3 },
        }),
    }
}
