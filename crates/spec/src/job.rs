//! One unit of work, as a value.

use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Arch, AttackSpec, Augmentation, Dataset, JobId, Method, Normalization, OptimizerSpec, Precision};

/// What a job does. Whoever holds one that came through [`crate::read_job`], a [`crate::Plan`] or the wire holds a valid
/// one: all three call [`JobSpec::validate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobSpec {
    /// Trains a network.
    Train(TrainSpec),
    /// Measures a network's natural and robust accuracy.
    Evaluate(EvaluateSpec),
}

/// A job's kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// See [`JobSpec::Train`].
    Train,
    /// See [`JobSpec::Evaluate`].
    Evaluate,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
        })
    }
}

impl JobSpec {
    /// The kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Train(_) => JobKind::Train,
            Self::Evaluate(_) => JobKind::Evaluate,
        }
    }

    /// The network that this job starts from: an RRM teacher, or what is evaluated.
    pub fn source(&self) -> Option<&ModelSource> {
        match self {
            Self::Train(TrainSpec { method: Method::Rrm { teacher, .. }, .. }) => Some(teacher),
            Self::Train(_) => None,
            Self::Evaluate(spec) => Some(&spec.model),
        }
    }

    /// The same, to be replaced.
    pub fn source_mut(&mut self) -> Option<&mut ModelSource> {
        match self {
            Self::Train(TrainSpec { method: Method::Rrm { teacher, .. }, .. }) => Some(teacher),
            Self::Train(_) => None,
            Self::Evaluate(spec) => Some(&mut spec.model),
        }
    }

    /// The jobs that must have succeeded before this one can run: the graph's edges, and its only representation.
    pub fn needs(&self) -> Vec<&JobRef> {
        match self.source() {
            Some(ModelSource::Job(job)) => vec![job],
            Some(ModelSource::Checkpoint(_)) | None => Vec::new(),
        }
    }

    /// The images that the job works on.
    pub fn dataset(&self) -> &Dataset {
        match self {
            Self::Train(spec) => &spec.dataset,
            Self::Evaluate(spec) => &spec.dataset,
        }
    }

    /// Epochs that a complete run records; 0 for an evaluation.
    pub fn epochs(&self) -> u32 {
        match self {
            Self::Train(spec) => spec.epochs.get(),
            Self::Evaluate(_) => 0,
        }
    }
}

/// Trains a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Training images, and the test images of the validation.
    pub dataset: Dataset,
    /// Random changes to training images; absent in a plan = the dataset's own.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The first layer's constants; absent = the dataset's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// The network, which must be made for images of the dataset's size. Under RRM its representation is as wide as the teacher's, by
    /// an adapter where its features are not.
    pub arch: Arch,
    /// How it is trained.
    pub method: Method,
    /// Optimiser and schedule.
    pub optimizer: OptimizerSpec,
    /// Passes over the training images.
    pub epochs: NonZeroU32,
    /// Images per update; the last batch of an epoch may be smaller.
    pub batch_size: NonZeroU32,
    /// What student, attack and teacher compute in; measurements always do in [`Precision::F32`]. Written only where it is another,
    /// so that a spec from before there was a choice keeps its hash.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Seed of weights, order, augmentation and attacks.
    pub seed: u64,
    /// What is measured after each epoch, outside of the epoch's time.
    #[serde(default)]
    pub validation: Validation,
}

impl TrainSpec {
    /// The first layer's constants.
    pub fn normalization(&self) -> Normalization {
        self.normalization.unwrap_or_else(|| self.dataset.name.normalization())
    }
}

/// What is measured on test images after each epoch. Never used to select a model.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// The first so many test images; absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<NonZeroU32>,
    /// The attack of the robust accuracy; absent = natural accuracy alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<AttackSpec>,
}

/// Measures a network's natural and robust accuracy on test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSpec {
    /// The network.
    pub model: ModelSource,
    /// Whose test images.
    pub dataset: Dataset,
    /// The first so many test images; absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<NonZeroU32>,
    /// The attack.
    pub attack: AttackSpec,
    /// Images per forward pass; results do not depend on it.
    pub batch_size: NonZeroU32,
    /// Seed of the attack's starting points.
    pub seed: u64,
}

/// Where a trained network comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelSource {
    /// The final weights of another job.
    Job(JobRef),
    /// A checkpoint file on the machine where the job runs.
    Checkpoint(PathBuf),
}

/// Names another job: by its name in the same plan, or `#12` for the one with that id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum JobRef {
    /// A job earlier in the same plan.
    Name(String),
    /// A job that the daemon knows.
    Id(JobId),
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "#{id}"),
        }
    }
}

impl FromStr for JobRef {
    type Err = crate::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('#') {
            Some(id) => id.parse().map(Self::Id),
            None => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl TryFrom<String> for JobRef {
    type Error = crate::ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<JobRef> for String {
    fn from(job: JobRef) -> Self {
        job.to_string()
    }
}
