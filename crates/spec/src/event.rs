//! What a trainer tells while it works, one JSON line each, and what of it is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Accuracy, ArtifactHash, AttackSpec, ClassAccuracy, DiagnosticsRecord};

/// A line on a trainer's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "events are told one by one, and what is large is a record anyway")]
pub enum Event {
    /// Where the job stands now. Shown live, never stored.
    Progress(Progress),
    /// A fact to be stored exactly once.
    Record(Record),
    /// The job is complete.
    Finished,
    /// The trainer was told to stop and did; the last checkpoint holds.
    Stopped,
    /// The job failed.
    Failed {
        /// Whose fault it is, which decides whether another try makes sense.
        class: FailureClass,
        /// What happened, and what to do.
        message: String,
    },
}

/// Facts that the daemon stores, in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The trainer has begun.
    Started(RunStarted),
    /// An epoch is complete.
    Epoch(EpochRecord),
    /// A checkpoint lies on disk.
    Checkpoint(CheckpointRecord),
    /// An evaluation is complete.
    Evaluation(EvaluationRecord),
    /// What an evaluation has measured besides.
    Diagnostics(DiagnosticsRecord),
}

/// What runs where: part of every number's provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the CPU kernels.
    pub threads: u32,
    /// Version of this software, `+`, and a hash of the sources of all that computes.
    pub code_version: String,
    /// Trainable parameters of the network.
    pub parameters: u64,
    /// First epoch that this attempt trains, counted from 1; more than 1 after a resumption. Of an evaluation, the number of the next
    /// checkpoint.
    pub first_epoch: u32,
    /// Hash of the images that it works on, wherever they lie: pixels and labels, or of pictures on disk names and sizes. Absent from
    /// before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<ArtifactHash>,
    /// Hash of its spec's JSON, in which references are ids. Absent from before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_sha256: Option<ArtifactHash>,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is going on, such as `epoch 3/12` or `APGD-CE restart 2/5`.
    pub phase: String,
    /// Units of work done over the whole job.
    pub done: u64,
    /// Units of work in the whole job.
    pub total: u64,
    /// Speed of the current phase.
    pub images_per_second: f64,
}

/// One epoch's result. The epoch's time is the training loop alone: data loading in, validation and checkpoint out
/// (digest §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Time of the training loop, in microseconds.
    pub train_us: u64,
    /// Time of the validation, in microseconds.
    pub validation_us: u64,
    /// Training images seen, replays counted once.
    pub images: u64,
    /// Learning rate of the last update.
    pub learning_rate: f64,
    /// Mean training loss over the epoch's updates.
    pub loss: f64,
    /// Accuracy on the training batches as they were trained on.
    pub train: Accuracy,
    /// Accuracy on natural test images.
    pub natural: Accuracy,
    /// Accuracy under the validation's attack; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust: Option<Accuracy>,
}

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointRole {
    /// Everything that a resumption needs; the newest replaces the one before.
    Resume,
    /// What the job was for: the finished network's weights and buffers, a synthesis's images, or the adversarial images that an
    /// evaluation kept.
    Final,
}

/// A checkpoint, written completely and named by its contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRecord {
    /// The epoch that it closes, counted from 1; of an evaluation, how many checkpoints there have been with this one.
    pub epoch: u32,
    /// What it is for.
    pub role: CheckpointRole,
    /// Where it lies on the trainer's machine.
    pub path: PathBuf,
    /// Hash of the file.
    pub sha256: ArtifactHash,
    /// Size of the file.
    pub bytes: u64,
}

/// The result of one attack on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRecord {
    /// The attack.
    pub attack: AttackSpec,
    /// Accuracy on natural images.
    pub natural: Accuracy,
    /// Images that are classified correctly whatever the attack did; natural mistakes count as broken.
    pub robust: Accuracy,
    /// Time of the whole evaluation, in microseconds; of one with several radii, of what this one took after the smaller ones.
    pub elapsed_us: u64,
    /// Hash of the checkpoint file that was evaluated.
    pub weights: ArtifactHash,
    /// One entry per image, by position in the test set.
    pub images: Vec<ImageOutcome>,
    /// The same, counted by class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassAccuracy>,
    /// What the adversarial images are worth; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// What a second look at the adversarial images found: those that the attack handed back for the images that it broke.
///
/// The two accuracies are counted anew by classifying these images. An attack whose rule hands back another point than the one that broke
/// an image is recounted higher than its robust accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// The largest change of an image whose pixels are finite, in the attack's norm and in pixel units; 0 where nothing was broken.
    pub largest_change: f64,
    /// Images with a pixel outside of [0, 1].
    pub outside_box: u64,
    /// Images with a pixel that is no finite number.
    pub not_finite: u64,
    /// Robust accuracy, counted anew.
    pub recounted: Accuracy,
    /// The same where each pixel is rounded to the nearest of 256 levels, as a file of a picture would hold it.
    pub rounded: Accuracy,
}

/// What became of one image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageOutcome {
    /// Position in the test set.
    pub image: u32,
    /// Its class.
    pub label: u32,
    /// The class that the network gives the natural image.
    pub prediction: u32,
    /// The attack's success.
    pub outcome: Outcome,
    /// Where the attack came closest to breaking it, or broke it most clearly; absent where it was not attacked, or nobody kept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closest: Option<ClosestPoint>,
}

/// The point, of all that an attack looked at, at which an image was least clearly classified correctly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosestPoint {
    /// Which of [`AttackSpec::parts`], counted from 0: the one that broke the image, or else the one that came closest.
    pub part: u32,
    /// The first iteration, 0 for the start, of the restart that broke the image at which it was misclassified; absent where it was
    /// not broken, or where the attack has no iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<u32>,
    /// Cross-entropy of the label there.
    pub loss: f64,
    /// The label's logit less the highest other one there; negative where the image is misclassified. Some dialects hand back
    /// another point than this one, so that an image may count as robust although it is negative.
    pub margin: f64,
}

/// Whether an attack broke an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// Already the natural image is misclassified.
    Misclassified,
    /// Broken by the restart with this number, counted from 0.
    Broken {
        /// The first restart that succeeded.
        restart: u32,
    },
    /// Classified correctly throughout.
    Robust,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The spec or the data: another try would fail again.
    User,
    /// Device memory ran out.
    OutOfMemory,
    /// The loss or the weights are no longer finite.
    Diverged,
    /// The machine: disk, device, or our own bug.
    Machine,
}
