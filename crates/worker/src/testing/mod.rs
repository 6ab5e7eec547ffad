//! Values for tests, a daemon in memory, and trainers made of shell scripts.

pub(crate) mod daemon;
pub(crate) mod script;

use rrm_spec::{Accuracy, ArtifactHash, Assignment, AttemptId, Device, EpochRecord, JobId, JobSpec, Record};
use sha2::{Digest, Sha256};

/// The record of an epoch.
pub(crate) fn epoch(epoch: u32) -> Record {
    let accuracy = Accuracy { correct: 1, total: 2 };
    Record::Epoch(EpochRecord {
        epoch,
        train_us: 1,
        validation_us: 1,
        images: 2,
        learning_rate: 0.1,
        loss: 1.5,
        train: accuracy,
        natural: accuracy,
        robust: None,
    })
}

/// The hash of a content.
pub(crate) fn hash(content: &[u8]) -> ArtifactHash {
    hex::encode(Sha256::digest(content)).parse().unwrap()
}

/// A small job.
pub(crate) fn job() -> JobSpec {
    let json = r#"{
        "kind": "train",
        "dataset": {"name": "fashion-mnist"},
        "arch": "dnn/16",
        "method": {"kind": "natural"},
        "optimizer": {"learning_rate": 0.1, "schedule": {"kind": "constant"}},
        "epochs": 2,
        "batch_size": 8,
        "seed": 0
    }"#;
    rrm_spec::read_job(json).unwrap()
}

/// That job, handed out.
pub(crate) fn assignment() -> Assignment {
    Assignment {
        job: JobId(1),
        attempt: AttemptId(7),
        name: "small".to_owned(),
        device: Device::Cpu,
        more_devices: Vec::new(),
        parts: 1,
        spec: job(),
        inputs: Vec::new(),
        resume: None,
        time_limit: None,
    }
}
