//! One unit of work, as a value.

use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Arch, ArtifactRef, AttackSpec, Augmentation, Dataset, Epsilon, JobId, Method, Normalization, OptimizerSpec,
    Precision,
};

/// What a job does. Whoever holds one that came through [`crate::read_job`], a [`crate::Plan`] or the wire holds a valid
/// one: all three call [`JobSpec::validate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobSpec {
    /// Trains a network.
    Train(TrainSpec),
    /// Measures a network's natural and robust accuracy.
    Evaluate(EvaluateSpec),
    /// Makes a set of images out of a robust network.
    Synthesize(SynthesizeSpec),
}

/// A job's kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// See [`JobSpec::Train`].
    Train,
    /// See [`JobSpec::Evaluate`].
    Evaluate,
    /// See [`JobSpec::Synthesize`].
    Synthesize,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Train, Self::Evaluate, Self::Synthesize];
}

/// What one job wants of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// The final network of a training.
    Network,
    /// The images of a synthesis.
    Images,
}

impl Product {
    /// Why a job of this kind cannot be the one that is named, where it cannot.
    pub fn refusal(self, parent: JobKind) -> Option<&'static str> {
        match (self, parent) {
            (Self::Network, JobKind::Train) | (Self::Images, JobKind::Synthesize) => None,
            (Self::Network, JobKind::Evaluate) => Some("must name a train job: an evaluation makes no network"),
            (Self::Network, JobKind::Synthesize) => Some("must name a train job: a synthesis makes no network"),
            (Self::Images, JobKind::Train | JobKind::Evaluate) => {
                Some("must name a synthesize job: no other makes a set of images")
            }
        }
    }

    /// Why a job of another dataset cannot be the one that is named.
    pub fn of_another_dataset(self) -> &'static str {
        match self {
            Self::Network => "must name a network of the same dataset",
            Self::Images => "must name images of the same dataset",
        }
    }
}

/// A reference from one job to another: an edge of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<'a> {
    /// The field of the spec whose `job` it is.
    pub field: &'static str,
    /// The other job.
    pub job: &'a JobRef,
    /// What is wanted of it.
    pub product: Product,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Synthesize => "synthesize",
        })
    }
}

impl JobSpec {
    /// The kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Train(_) => JobKind::Train,
            Self::Evaluate(_) => JobKind::Evaluate,
            Self::Synthesize(_) => JobKind::Synthesize,
        }
    }

    /// The network that this job learns from or is about: a teacher, or what is evaluated.
    pub fn source(&self) -> Option<&ModelSource> {
        match self {
            Self::Train(spec) => spec.method.teacher(),
            Self::Evaluate(spec) => Some(&spec.model),
            Self::Synthesize(spec) => Some(&spec.model),
        }
    }

    /// The same, to be replaced.
    pub fn source_mut(&mut self) -> Option<&mut ModelSource> {
        match self {
            Self::Train(spec) => spec.method.teacher_mut(),
            Self::Evaluate(spec) => Some(&mut spec.model),
            Self::Synthesize(spec) => Some(&mut spec.model),
        }
    }

    /// Every network that this job reads, under the field that names it: what it is about, a teacher, or what it begins with.
    pub fn networks(&self) -> Vec<(&'static str, &ModelSource)> {
        match self {
            Self::Train(spec) => {
                let teacher = spec.method.teacher().map(|teacher| ("method.teacher", teacher));
                teacher.into_iter().chain(spec.initial.iter().map(|initial| ("initial", initial))).collect()
            }
            Self::Evaluate(spec) => {
                let teacher = spec.teacher.iter().map(|teacher| ("teacher", teacher));
                std::iter::once(("model", &spec.model)).chain(teacher).collect()
            }
            Self::Synthesize(spec) => vec![("model", &spec.model)],
        }
    }

    /// The same networks, to be replaced.
    pub fn networks_mut(&mut self) -> Vec<&mut ModelSource> {
        match self {
            Self::Train(spec) => spec.method.teacher_mut().into_iter().chain(&mut spec.initial).collect(),
            Self::Evaluate(spec) => std::iter::once(&mut spec.model).chain(&mut spec.teacher).collect(),
            Self::Synthesize(spec) => vec![&mut spec.model],
        }
    }

    /// The synthesised images that this job is trained on.
    fn training_set(&self) -> Option<&ImagesSource> {
        match self {
            Self::Train(spec) => spec.training_set.as_ref(),
            Self::Evaluate(_) | Self::Synthesize(_) => None,
        }
    }

    /// The jobs that must have succeeded before this one can run: the graph's edges, and its only representation.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let networks = self.networks().into_iter().filter_map(|(field, network)| match network {
            ModelSource::Job(job) => Some(Need { field, job, product: Product::Network }),
            ModelSource::Checkpoint(_) | ModelSource::Artifact(_) => None,
        });
        let images = self.training_set().and_then(|images| match images {
            ImagesSource::Job(job) => Some(Need { field: "training_set", job, product: Product::Images }),
            ImagesSource::File(_) => None,
        });
        networks.chain(images).collect()
    }

    /// The same references, to be replaced.
    pub fn needs_mut(&mut self) -> Vec<&mut JobRef> {
        let (networks, images): (Vec<_>, _) = match self {
            Self::Train(TrainSpec { method, initial, training_set, .. }) => {
                (method.teacher_mut().into_iter().chain(initial).collect(), training_set.as_mut())
            }
            Self::Evaluate(EvaluateSpec { model, teacher, .. }) => {
                (std::iter::once(model).chain(teacher).collect(), None)
            }
            Self::Synthesize(SynthesizeSpec { model, .. }) => (vec![model], None),
        };
        let networks = networks.into_iter().filter_map(|network| match network {
            ModelSource::Job(job) => Some(job),
            ModelSource::Checkpoint(_) | ModelSource::Artifact(_) => None,
        });
        let images = images.and_then(|images| match images {
            ImagesSource::Job(job) => Some(job),
            ImagesSource::File(_) => None,
        });
        networks.chain(images).collect()
    }

    /// Whether the job starts from a file or an artifact, of whose making nothing is known.
    pub fn starts_from_a_file(&self) -> bool {
        let is_file = |network: &ModelSource| matches!(network, ModelSource::Checkpoint(_) | ModelSource::Artifact(_));
        self.networks().into_iter().any(|(_, network)| is_file(network))
            || matches!(self.training_set(), Some(ImagesSource::File(_)))
    }

    /// The images that the job works on.
    pub fn dataset(&self) -> &Dataset {
        match self {
            Self::Train(spec) => &spec.dataset,
            Self::Evaluate(spec) => &spec.dataset,
            Self::Synthesize(spec) => &spec.dataset,
        }
    }

    /// Epochs that a complete run records: the parts of a synthesis; 0 for an evaluation.
    pub fn epochs(&self) -> u32 {
        match self {
            Self::Train(spec) => spec.epochs.get(),
            Self::Evaluate(_) => 0,
            Self::Synthesize(spec) => spec.parts.get(),
        }
    }
}

/// Trains a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Training images, and the test images of the validation.
    pub dataset: Dataset,
    /// A synthesised set to be trained on instead of the dataset's training images, of which it has the size and classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_set: Option<ImagesSource>,
    /// Random changes to training images; absent in a plan = the dataset's own.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The first layer's constants; absent = the dataset's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// The network, which must be made for images of the dataset's size. Under RRM its representation is as wide as the teacher's, by
    /// an adapter where its features are not.
    pub arch: Arch,
    /// How wide the network's representation is: its features' width for a network without adapter; absent = the architecture's own, and
    /// under RRM, where it cannot be given, the teacher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub representation_width: Option<NonZeroU32>,
    /// A network of the same architecture whose weights this training begins with, to be tuned; absent = fresh ones. Momentum and
    /// schedule begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<ModelSource>,
    /// What the network divides its logits by, in training and ever after; written only where it is not 1.
    #[serde(default = "unit_temperature", skip_serializing_if = "is_unit_temperature")]
    pub temperature: f64,
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

fn unit_temperature() -> f64 {
    1.0
}

fn is_unit_temperature(temperature: &f64) -> bool {
    *temperature == 1.0
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
    /// Where it is made with several radii in one pass: these instead of the attack's own, which its step sizes are meant for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epsilons: Vec<Epsilon>,
    /// The network from which the evaluated one has learned, of an adaptive attack alone; absent in a plan = that of the job that
    /// `model` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<ModelSource>,
    /// What the network divides its logits by for all of this evaluation, instead of what it was trained with; absent = its own. No
    /// prediction changes, but the gradients of the cross-entropy do. A teacher keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// On the first so many test images it is measured, too, whether the network's robustness is one of hidden gradients; absent =
    /// it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<NonZeroU32>,
    /// Images per forward pass; results do not depend on it.
    pub batch_size: NonZeroU32,
    /// Seed of the attack's starting points.
    pub seed: u64,
    /// Whether the adversarial images become an artifact of the job. Written only where they do, so that older specs keep their hash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_images: bool,
}

impl EvaluateSpec {
    /// The attack with each radius, the smallest first.
    pub fn attacks(&self) -> Vec<AttackSpec> {
        if self.epsilons.is_empty() {
            return vec![self.attack.clone()];
        }
        self.epsilons.iter().map(|epsilon| self.attack.with_epsilon(epsilon)).collect()
    }
}

/// Makes a robust data set (Ilyas et al. 2019; digest §2.8): for each training image, another one that the network represents alike.
///
/// It begins at a random training image and descends ‖g(x′) − g(x)‖₂, not divided by anything, along its gradient's direction, in
/// the pixel box; the best iterate counts. No augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthesizeSpec {
    /// The robust network, used in eval mode.
    pub model: ModelSource,
    /// Whose training images.
    pub dataset: Dataset,
    /// Gradient steps per image.
    pub steps: NonZeroU32,
    /// Their length, in pixel units.
    pub step_size: Epsilon,
    /// In how many parts the set is made, each of which is recorded like an epoch and can be gone on from.
    #[serde(default = "SynthesizeSpec::default_parts")]
    pub parts: NonZeroU32,
    /// Images at once; results do not depend on it.
    pub batch_size: NonZeroU32,
    /// Seed of the images that the descents begin at.
    pub seed: u64,
}

impl SynthesizeSpec {
    pub(crate) fn default_parts() -> NonZeroU32 {
        const { NonZeroU32::new(10).expect("ten is not zero") }
    }
}

/// Where a synthesised set of images comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImagesSource {
    /// The images of another job.
    Job(JobRef),
    /// A file on the machine where the job runs.
    File(PathBuf),
}

/// Where a trained network comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelSource {
    /// The final weights of another job.
    Job(JobRef),
    /// A checkpoint file on the machine where the job runs.
    Checkpoint(PathBuf),
    /// A network in the daemon's artifact store: an imported one, or the final weights of a job by their hash.
    Artifact(ArtifactRef),
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
