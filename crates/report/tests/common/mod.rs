//! A plan's jobs as the daemon would hand them out, with results of our choice.

#![allow(dead_code, reason = "each test target uses its own part")]

pub(crate) mod study;

use rrm_spec::{
    Accuracy, AttemptId, AttemptView, EpochRecord, EvaluationRecord, JobDetail, JobId, JobRef, JobSpec, JobState,
    JobSummary, Plan, RunStarted, SubmissionId, UserName, WorkerId,
};

const PLAN: &str = r#"
    name = "demo"
    [defaults.train]
    dataset = { name = "fashion-mnist" }
    batch_size = 128
    seed = 0
    epochs = 5
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    [defaults.train.validation]
    images = 1000
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 10, step_size = 0.025, start = "uniform", selection = "last" }
    [defaults.evaluate]
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = 0.1 }, iterations = 20, restarts = 5 }
    batch_size = 100
    seed = 0

    [[job]]
    name = "teacher"
    kind = "train"
    arch = "dnn/2"
    [job.method]
    kind = "adversarial-training"
    attack_mode = "eval"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 7, step_size = 0.025, start = "uniform", selection = "last" }

    [[job]]
    name = "student"
    kind = "train"
    arch = "resnet18/4"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }

    [[job]]
    name = "control"
    kind = "train"
    arch = "resnet18/4"
    method = { kind = "natural" }

    [[job]]
    name = "reference"
    kind = "train"
    arch = "resnet18/4"
    epochs = 2
    [job.method]
    kind = "adversarial-training"
    attack_mode = "eval"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 7, step_size = 0.025, start = "uniform", selection = "last" }

    [[job]]
    name = "attack teacher"
    kind = "evaluate"
    model = { job = "teacher" }

    [[job]]
    name = "attack student"
    kind = "evaluate"
    model = { job = "student" }

    [[job]]
    name = "attack control"
    kind = "evaluate"
    model = { job = "control" }
"#;

pub(crate) const SECOND: u64 = 1_000_000;

/// Every job of the demonstration, still waiting.
pub(crate) fn waiting() -> Vec<JobDetail> {
    planned(PLAN)
}

/// Every job of a plan, still waiting.
pub(crate) fn planned(plan: &str) -> Vec<JobDetail> {
    jobs_of(&Plan::from_toml(plan).unwrap_or_else(|faults| panic!("{faults}")))
}

/// Every job of a plan, still waiting.
pub(crate) fn jobs_of(plan: &Plan) -> Vec<JobDetail> {
    let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    let id = |name: &str| JobId(1 + names.iter().position(|known| *known == name).unwrap() as i64);
    let details = plan.jobs.iter().map(|job| {
        let mut spec = job.spec.clone();
        for reference in spec.needs_mut() {
            if let JobRef::Name(name) = reference.clone() {
                *reference = JobRef::Id(id(&name));
            }
        }
        detail(id(&job.name), &job.name, spec)
    });
    details.collect()
}

fn detail(id: JobId, name: &str, spec: JobSpec) -> JobDetail {
    JobDetail {
        summary: JobSummary {
            id,
            submission: SubmissionId(1),
            plan: "demo".into(),
            owner: UserName::lab(),
            name: name.into(),
            kind: spec.kind(),
            state: JobState::Waiting,
            stop: None,
            held: false,
            priority: 0,
            time_limit: None,
            retry_of: None,
            retried_as: None,
            attempts: 0,
            epochs_done: 0,
            epochs_total: spec.epochs(),
            progress: None,
            reason: None,
            created_at: 0,
            started_at: None,
            ended_at: None,
        },
        parents: spec.needs().into_iter().filter_map(|need| parent(need.job)).collect(),
        spec,
        attempts: vec![],
        epochs: vec![],
        evaluations: vec![],
        diagnostics: None,
        checkpoints: vec![],
        content_key: None,
    }
}

fn parent(job: &JobRef) -> Option<JobId> {
    match job {
        JobRef::Id(id) => Some(*id),
        JobRef::Name(_) => None,
    }
}

/// The job with that name.
pub(crate) fn job<'a>(jobs: &'a mut [JobDetail], name: &str) -> &'a mut JobDetail {
    jobs.iter_mut().find(|job| job.summary.name == name).unwrap()
}

/// Trains a job on `node` with epochs of so many seconds; it succeeds if these are all of its epochs.
pub(crate) fn train(jobs: &mut [JobDetail], name: &str, node: &str, seconds: &[u64]) {
    let job = job(jobs, name);
    job.attempts = vec![attempt(node)];
    job.epochs = seconds.iter().zip(1..).map(|(seconds, epoch)| epoch_record(epoch, seconds * SECOND)).collect();
    let complete = seconds.len() as u32 == job.spec.epochs();
    job.summary.state = if complete { JobState::Succeeded } else { JobState::Running };
}

fn attempt(node: &str) -> AttemptView {
    AttemptView {
        id: AttemptId(1),
        worker: WorkerId(1),
        node: node.into(),
        device: "cuda:1".into(),
        started_at: 0,
        ended_at: None,
        outcome: None,
        message: None,
        run: Some(RunStarted {
            device: "cuda:1".into(),
            threads: 2,
            code_version: "0.1.0".into(),
            parameters: 1,
            first_epoch: 1,
            data_sha256: Some("d".repeat(64).parse().unwrap()),
            spec_sha256: None,
        }),
    }
}

fn epoch_record(epoch: u32, train_us: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        train_us,
        validation_us: 5,
        images: 60_000,
        learning_rate: 0.1,
        loss: 1.0,
        train: Accuracy { correct: 1, total: 2 },
        natural: Accuracy { correct: 700, total: 1000 },
        robust: Some(Accuracy { correct: 300, total: 1000 }),
    }
}

/// Evaluates with so many of 10 000 images correct.
pub(crate) fn evaluate(jobs: &mut [JobDetail], name: &str, natural: u64, robust: u64) {
    let job = job(jobs, name);
    let JobSpec::Evaluate(spec) = &job.spec else { panic!("{name} is no evaluation") };
    let total = 10_000;
    job.attempts = vec![attempt("node1")];
    job.attempts[0].run.as_mut().unwrap().data_sha256 = Some("e".repeat(64).parse().unwrap());
    job.summary.state = JobState::Succeeded;
    job.evaluations = vec![EvaluationRecord {
        attack: spec.attack.clone(),
        natural: Accuracy { correct: natural, total },
        robust: Accuracy { correct: robust, total },
        elapsed_us: 1,
        weights: "0".repeat(64).parse().unwrap(),
        images: vec![],
        classes: vec![],
        audit: None,
    }];
}

/// The demonstration, complete: all on one node.
pub(crate) fn complete() -> Vec<JobDetail> {
    let mut jobs = waiting();
    train(&mut jobs, "teacher", "node1", &[10, 12, 14, 16, 18]);
    train(&mut jobs, "student", "node1", &[20, 20, 20, 20, 20]);
    train(&mut jobs, "control", "node1", &[9, 10, 10, 10, 11]);
    train(&mut jobs, "reference", "node1", &[150, 130]);
    evaluate(&mut jobs, "attack teacher", 8012, 5876);
    evaluate(&mut jobs, "attack student", 8530, 5210);
    evaluate(&mut jobs, "attack control", 9120, 13);
    jobs
}

/// Every tag that opens closes, and text has no bare markup: what a strict XML reader checks first.
pub(crate) fn well_formed(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("unclosed tag: {part}"));
        let name = tag.trim_end_matches('/').split_whitespace().next().unwrap();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed), "{part}"),
            None if tag.ends_with('/') => assert_eq!(tag.matches('"').count() % 2, 0, "{tag}"),
            None => open.push(name.to_owned()),
        }
        assert!(text.split('&').skip(1).all(|entity| entity.contains(';')), "{text}");
    }
    assert!(open.is_empty(), "{open:?}");
}
