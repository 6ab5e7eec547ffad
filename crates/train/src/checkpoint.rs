//! Checkpoints to resume from: everything that the rest of a training depends on.
//!
//! A safetensors file with the tensors `network.KEY` (weights, running statistics and counters under PyTorch's keys) and
//! `momentum.KEY` (the optimiser's buffers), `step.KEY` where the method remembers something, and with one entry of metadata, `rrm.resume`: the [`Header`] as JSON. One entry,
//! because several would be written in no fixed order. There is no state of random generators to save: randomness is keyed by
//! seed, epoch and image, or seed and step.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use rrm_data::Images;
use rrm_models::{ModelError, Network, NetworkSpec};
use rrm_spec::{ArtifactHash, CheckpointRecord, CheckpointRole, TrainSpec};
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::{
    TrainError,
    files::{self, Published, artifact_hash, failed, publish},
    schedule::Timetable,
    step::Step,
    student::Student,
};

const METADATA_KEY: &str = "rrm.resume";
const FORMAT: u32 = 2;
const NETWORK: &str = "network.";
const MOMENTUM: &str = "momentum.";
const STEP: &str = "step.";

/// Four times the checkpoint of the largest network, a VGG16; a larger file is none, and would only fill the memory.
const MOST_BYTES: u64 = 4 << 30;

/// What a training's course depends on besides its checkpoints. Two trainings of equal identity go the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Hash of the spec's JSON.
    pub spec_sha256: ArtifactHash,
    /// Hash of the teacher's file, where there is a teacher.
    pub teacher_sha256: Option<ArtifactHash>,
    /// Hash of the file of the weights that it began with, where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sha256: Option<ArtifactHash>,
    /// Hash of the training images' pixels and labels, wherever they lie.
    pub images_sha256: ArtifactHash,
}

impl Identity {
    /// The identity of `spec` with that teacher, those first weights and those images.
    pub fn new(
        spec: &TrainSpec,
        teacher_sha256: Option<ArtifactHash>,
        initial_sha256: Option<ArtifactHash>,
        images: &Images,
    ) -> Self {
        let json = serde_json::to_vec(spec).expect("a spec has text keys only");
        let (spec_sha256, images_sha256) = (files::sha256_of(&json), artifact_hash(&images.sha256()));
        Self { spec_sha256, teacher_sha256, initial_sha256, images_sha256 }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// Complete epochs; times the updates per epoch it is the place in the schedule.
    epoch: u32,
    identity: Identity,
    network: NetworkSpec,
}

/// Why a checkpoint cannot be resumed from.
#[derive(Debug, thiserror::Error)]
pub enum ResumeFault {
    /// It could not be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It is larger than any checkpoint.
    #[error("it has {bytes} bytes, more than any checkpoint; start the job anew without it")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It is no safetensors file, or a damaged one.
    #[error("it is damaged or no safetensors file ({0}); start the job anew without it")]
    Damaged(#[from] SafeTensorError),
    /// It is a safetensors file, but none of ours.
    #[error("it is not a checkpoint to resume from: {why}; a final network cannot be trained on, start the job anew")]
    NotACheckpoint {
        /// What is missing or malformed.
        why: String,
    },
    /// It belongs to another training.
    #[error("it belongs to another training: its {what} differs; resume the job that wrote it, or start this one anew")]
    Foreign {
        /// What differs.
        what: &'static str,
    },
    /// Its tensors are not those of the network.
    #[error("its network does not fit: {0}; start the job anew without it")]
    Network(#[from] ModelError),
    /// Its momentum buffers are not those of the network, or the device failed.
    #[error("its tensors cannot be used: {0}; start the job anew without it")]
    Tensors(#[from] candle_core::Error),
}

impl ResumeFault {
    /// Whether the file is sound but belongs elsewhere, so that another try with it must fail again.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::NotACheckpoint { .. })
    }
}

/// Writes what a resumption after `epoch` needs to `path`.
pub(crate) fn save_resume(
    path: &Path,
    student: &Student,
    step: &dyn Step,
    epoch: u32,
    identity: &Identity,
) -> Result<CheckpointRecord, TrainError> {
    let header =
        Header { format: FORMAT, epoch, identity: identity.clone(), network: student.network().spec().clone() };
    let json = serde_json::to_string(&header).expect("a header has text keys only");
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
    let published = publish(path, |temporary| {
        let tensors = host(tensors(student, step))?;
        safetensors::serialize_to_file(tensors, Some(metadata), temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => failed("write", temporary)(error),
            other => TrainError::Compute(candle_core::Error::wrap(other)),
        })
    })?;
    Ok(record(path, epoch, CheckpointRole::Resume, published))
}

/// Writes the finished network to `path`, in the form in which networks are loaded.
pub(crate) fn save_final(path: &Path, student: &Student, epoch: u32) -> Result<CheckpointRecord, TrainError> {
    let published = publish(path, |temporary| Ok(student.network().save(temporary)?))?;
    Ok(record(path, epoch, CheckpointRole::Final, published))
}

fn record(path: &Path, epoch: u32, role: CheckpointRole, published: Published) -> CheckpointRecord {
    let Published { sha256, bytes } = published;
    CheckpointRecord { epoch, role, path: path.to_owned(), sha256, bytes }
}

fn tensors(student: &Student, step: &dyn Step) -> Vec<(String, Tensor)> {
    let network = student.network().state().into_iter().map(|(key, tensor)| (format!("{NETWORK}{key}"), tensor));
    let momentum = student.momentum().map(|(key, buffer)| (format!("{MOMENTUM}{key}"), buffer.as_detached_tensor()));
    let step = step.state().into_iter().map(|(key, tensor)| (format!("{STEP}{key}"), tensor));
    network.chain(momentum).chain(step).collect()
}

fn host(tensors: Vec<(String, Tensor)>) -> candle_core::Result<Vec<(String, Tensor)>> {
    let host = |(key, tensor): (String, Tensor)| Ok((key, tensor.to_device(&Device::Cpu)?.contiguous()?));
    tensors.into_iter().map(host).collect()
}

/// The student as it was after the epoch that the checkpoint closes, and that epoch; `step` remembers what it did then.
pub(crate) fn resume(
    path: &Path,
    expected: &Identity,
    network: &NetworkSpec,
    timetable: Timetable,
    step: &mut dyn Step,
    device: &Device,
) -> Result<(Student, u32), TrainError> {
    let resumed = read(path).and_then(|bytes| decode(&bytes, expected, network, timetable, step, device));
    resumed.map_err(|fault| TrainError::Resume { path: path.to_owned(), fault })
}

fn read(path: &Path) -> Result<Vec<u8>, ResumeFault> {
    let bytes = fs::metadata(path)?.len();
    if bytes > MOST_BYTES {
        return Err(ResumeFault::TooLarge { bytes });
    }
    Ok(fs::read(path)?)
}

fn decode(
    bytes: &[u8],
    expected: &Identity,
    network: &NetworkSpec,
    timetable: Timetable,
    step: &mut dyn Step,
    device: &Device,
) -> Result<(Student, u32), ResumeFault> {
    let header = header(bytes)?;
    check(&header, expected, network, timetable.total_steps() / timetable.steps_per_epoch().max(1))?;
    let mut weights = HashMap::new();
    let mut momentum = HashMap::new();
    let mut remembered = HashMap::new();
    for (key, tensor) in candle_core::safetensors::load_buffer(bytes, device)? {
        match (key.strip_prefix(NETWORK), key.strip_prefix(MOMENTUM), key.strip_prefix(STEP)) {
            (Some(key), _, _) => weights.insert(key.to_owned(), tensor),
            (None, Some(key), _) => momentum.insert(key.to_owned(), tensor),
            (None, None, Some(key)) => remembered.insert(key.to_owned(), tensor),
            (None, None, None) => {
                return Err(ResumeFault::NotACheckpoint { why: format!("it holds a tensor `{key}`") });
            }
        };
    }
    let network = Network::from_tensors(network, weights, device, DType::F32)?;
    let momentum = in_order(&network, momentum)?;
    step.restore(remembered).map_err(|why| ResumeFault::NotACheckpoint { why })?;
    let updates = u64::from(header.epoch) * timetable.steps_per_epoch();
    Ok((Student::resume(network, &momentum, timetable, updates)?, header.epoch))
}

fn header(bytes: &[u8]) -> Result<Header, ResumeFault> {
    // Checks that the tensors lie within the file, without gaps or overlaps.
    SafeTensors::deserialize(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
    let json = json.ok_or_else(|| ResumeFault::NotACheckpoint { why: format!("it has no `{METADATA_KEY}`") })?;
    serde_json::from_str(json).map_err(|error| ResumeFault::NotACheckpoint { why: error.to_string() })
}

fn check(header: &Header, expected: &Identity, network: &NetworkSpec, epochs: u64) -> Result<(), ResumeFault> {
    let Header { format, epoch, identity, network: found } = header;
    let Identity { spec_sha256, teacher_sha256, initial_sha256, images_sha256 } = identity;
    let checks = [
        (*format == FORMAT, "file format"),
        (*spec_sha256 == expected.spec_sha256, "spec"),
        (*teacher_sha256 == expected.teacher_sha256, "teacher"),
        (*initial_sha256 == expected.initial_sha256, "network that it began with"),
        (*images_sha256 == expected.images_sha256, "set of training images"),
        (found == network, "network"),
        ((1..=epochs).contains(&u64::from(*epoch)), "number of epochs"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(ResumeFault::Foreign { what }),
        None => Ok(()),
    }
}

/// The buffers in the order of the network's parameters.
fn in_order(network: &Network, mut momentum: HashMap<String, Tensor>) -> Result<Vec<Tensor>, ResumeFault> {
    let ordered: Option<Vec<_>> = network.parameters().iter().map(|(key, _)| momentum.remove(key)).collect();
    match ordered {
        Some(ordered) if momentum.is_empty() => Ok(ordered),
        _ => Err(ResumeFault::NotACheckpoint { why: "its momentum buffers are not the network's".to_owned() }),
    }
}
