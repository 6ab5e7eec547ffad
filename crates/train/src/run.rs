//! A job from spec to records.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use candle_core::Device;
use rrm_models::{Model, Network};
use rrm_spec::{ArtifactHash, Event, JobId, JobSpec, RunStarted};

use crate::{
    device::device_name,
    error::{Halt, TrainError},
    evaluate::evaluate,
    files::sha256_of,
    monitor::Monitor,
    synthesize::synthesize,
    training::train,
};

/// Where a job runs.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What computes; see [`crate::open_device`].
    pub device: Device,
    /// Where datasets lie.
    pub data_dir: PathBuf,
    /// Where checkpoints are written; made where it is missing.
    pub work_dir: PathBuf,
    /// Files of the networks and images that the spec refers to by job.
    pub inputs: HashMap<JobId, PathBuf>,
    /// Files of the networks that the spec names by their hash.
    pub artifacts: HashMap<ArtifactHash, PathBuf>,
    /// The checkpoint to go on from; absent = begin.
    pub resume: Option<PathBuf>,
    /// Set to have the job end at the next boundary of a step, and within one at the next pass of an attack or a descent.
    pub stop: Arc<AtomicBool>,
}

/// What computes: the version of this software and a hash of the sources of this crate, of all of ours that it uses, and of the
/// versions of all others. Two workers of one code version make the same of the same, up to their devices' rounding.
pub const CODE_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("RRM_CODE_HASH"));

/// How a job ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Everything was done and recorded.
    Finished,
    /// It was told to stop; what the last checkpoint does not hold is lost.
    Stopped,
}

/// Runs a job to its end.
///
/// `sink` gets [`Event::Progress`] and [`Event::Record`] alone: `Started` first, then per epoch (or part of a synthesis) `Epoch` and
/// its `Checkpoint`, or one `Evaluation` for each radius with a `Checkpoint` now and then before it, and `Diagnostics` where they were
/// asked for.
///
/// # Errors
/// [`TrainError`], whose class says whose fault it is. The checkpoint before stays in place.
pub fn run(spec: &JobSpec, environment: &Environment, sink: &mut dyn FnMut(Event)) -> Result<Completion, TrainError> {
    let json = serde_json::to_vec(spec).expect("a spec has text keys only");
    let mut monitor = Monitor::new(sink, &environment.stop).of_spec(sha256_of(&json));
    let (outcome, batch_size) = match spec {
        JobSpec::Train(spec) => (train(spec, environment, &mut monitor), spec.batch_size),
        JobSpec::Evaluate(spec) => (evaluate(spec, environment, &mut monitor), spec.batch_size),
        JobSpec::Synthesize(spec) => (synthesize(spec, environment, &mut monitor), spec.batch_size),
    };
    match outcome {
        Ok(()) => Ok(Completion::Finished),
        Err(Halt::Stopped) => Ok(Completion::Stopped),
        Err(Halt::Failed(error)) => Err(error.at_batch_size(batch_size.get())),
    }
}

/// The provenance of a run on `network`, on images with that hash; the monitor knows the spec's.
pub(crate) fn started(network: &Network, first_epoch: u32, data_sha256: &ArtifactHash) -> RunStarted {
    RunStarted {
        device: device_name(network.device()),
        threads: u32::try_from(rrm_kernels::threads()).unwrap_or(u32::MAX),
        code_version: CODE_VERSION.to_owned(),
        parameters: network.parameter_count(),
        first_epoch,
        data_sha256: Some(data_sha256.clone()),
        spec_sha256: None,
    }
}
