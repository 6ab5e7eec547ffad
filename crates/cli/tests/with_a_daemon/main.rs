//! The commands against a daemon that answers what we tell it to.

mod connection;
mod control;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "../fake/mod.rs"]
mod fake;
mod json;
mod list;
mod logs;
mod network;
mod placement;
mod report;
mod submit;
mod wait;

use rrm_spec::{
    Accuracy, Audit, ClosestPoint, Diagnostic, DiagnosticsRecord, EpochRecord, EvaluationRecord, ImageOutcome, JobSpec,
    JobState, Norm, Outcome, ThreatModel,
};
use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};

use fake::Fake;
pub(crate) const PLAN: &str = r#"
    name = "demo"
    [[job]]
    name = "control"
    kind = "train"
    dataset = { name = "cifar10" }
    arch = "resnet18/4"
    epochs = 2
    batch_size = 64
    seed = 0
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    method = { kind = "natural" }

    [[job]]
    name = "attack control"
    kind = "evaluate"
    model = { job = "control" }
    dataset = { name = "cifar10" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 20, restarts = 5 }
    batch_size = 100
    seed = 0

    [[job]]
    name = "third"
    kind = "train"
    dataset = { name = "cifar10" }
    arch = "dnn"
    epochs = 1
    batch_size = 64
    seed = 0
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    method = { kind = "natural" }
"#;

impl Fake {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rrm"));
        command.args(arguments).env_clear().env("RRM_STATE_DIR", self.folder.path());
        command
    }

    pub(crate) fn rrm(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.rrm(&[&["--json"], arguments].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(document["schema"], 1, "{document}");
        document
    }

    pub(crate) fn plan_file(&self) -> String {
        let path = self.folder.path().join("plan.toml");
        std::fs::write(&path, PLAN).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A daemon with the plan's three jobs.
    pub(crate) fn with_plan() -> Self {
        let fake = Self::start();
        let output = fake.rrm(&["submit", &fake.plan_file()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        fake
    }

    pub(crate) fn end_all(&self, state: JobState) {
        (1..=3).for_each(|id| self.memory.set_state(id, state, None));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn epoch(epoch: u32) -> EpochRecord {
    EpochRecord {
        epoch,
        train_us: 12_000_000,
        validation_us: 1,
        images: 50_000,
        learning_rate: 0.1,
        loss: 1.5,
        train: Accuracy { correct: 1, total: 2 },
        natural: Accuracy { correct: 7, total: 10 },
        robust: None,
    }
}

pub(crate) fn train_and_attack(fake: &Fake) {
    fake.memory.with_job(1, |job| job.epochs = vec![epoch(1), epoch(2)]);
    fake.memory.with_job(2, |job| {
        let JobSpec::Evaluate(spec) = &job.spec else { panic!("an evaluation") };
        job.evaluations = vec![EvaluationRecord {
            attack: spec.attack.clone(),
            natural: Accuracy { correct: 8000, total: 10_000 },
            robust: Accuracy { correct: 4500, total: 10_000 },
            elapsed_us: 1,
            weights: "0".repeat(64).parse().unwrap(),
            images: images(),
            classes: Vec::new(),
            audit: Some(Audit {
                largest_change: 0.031,
                outside_box: 0,
                not_finite: 0,
                recounted: Accuracy { correct: 4500, total: 10_000 },
                rounded: Accuracy { correct: 4510, total: 10_000 },
            }),
        }];
    });
    fake.end_all(JobState::Succeeded);
}

/// Diagnostics of 100 images, most of which nothing but a factor on the logits breaks.
pub(crate) fn masked() -> DiagnosticsRecord {
    let numbers =
        [("images", 100.0), ("natural.correct", 95.0), ("ladder.x1.robust", 90.0), ("ladder.x0.001.robust", 2.0)];
    DiagnosticsRecord {
        weights: "0".repeat(64).parse().unwrap(),
        threat: ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() },
        elapsed_us: 1,
        numbers: numbers.map(|(name, value)| Diagnostic::new(name, value, "")).to_vec(),
    }
}

pub(crate) fn images() -> Vec<ImageOutcome> {
    let closest = Some(ClosestPoint { part: 0, iteration: Some(7), loss: 2.5, margin: -1.25 });
    let broken = ImageOutcome { image: 0, label: 3, prediction: 3, outcome: Outcome::Broken { restart: 2 }, closest };
    let wrong = ImageOutcome { image: 1, prediction: 4, outcome: Outcome::Misclassified, closest: None, ..broken };
    vec![broken, wrong]
}
