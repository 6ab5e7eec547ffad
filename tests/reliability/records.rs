//! What a simulated trainer tells.

use rrm_api::VERSION;
use rrm_spec::{
    Accuracy, ArtifactHash, AttemptId, CheckpointRecord, CheckpointRole, EpochRecord, EvaluateSpec, EvaluationRecord,
    ImageOutcome, Outcome, Record, RunStarted,
};
use sha2::{Digest, Sha256};

pub(crate) fn hash(content: &str) -> ArtifactHash {
    hex::encode(Sha256::digest(content)).parse().expect("SHA-256 has 64 digits")
}

/// What a checkpoint's file holds.
pub(crate) fn content(attempt: AttemptId, epoch: u32, role: CheckpointRole) -> String {
    format!("{role:?} of epoch {epoch} by attempt {attempt}")
}

pub(crate) fn started(first_epoch: u32) -> Record {
    Record::Started(RunStarted {
        device: "cpu".into(),
        threads: 1,
        code_version: VERSION.into(),
        parameters: 1,
        first_epoch,
        data_sha256: None,
        spec_sha256: None,
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

pub(crate) fn evaluation(spec: &EvaluateSpec) -> Record {
    let outcome = Outcome::Broken { restart: 0 };
    Record::Evaluation(EvaluationRecord {
        attack: spec.attack.clone(),
        natural: Accuracy { correct: 1, total: 1 },
        robust: Accuracy { correct: 0, total: 1 },
        elapsed_us: 1,
        weights: hash("weights"),
        images: vec![ImageOutcome { image: 0, label: 1, prediction: 1, outcome, closest: None }],
        classes: vec![],
        audit: None,
    })
}
