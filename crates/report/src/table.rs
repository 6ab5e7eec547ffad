//! What a report says of a plan, as values.

use std::path::PathBuf;

use rrm_spec::{Accuracy, Arch, ArtifactRef, AttackSpec, Dataset, JobId, JobState, Precision, SubmissionId};
use serde::Serialize;

use crate::{EpochTime, Provenance};

/// The results of a plan: one row per trained network.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The plan's name.
    pub plan: String,
    /// The plan as it was submitted; the newest where jobs of several were given.
    pub submission: Option<SubmissionId>,
    /// Attacks whose robust accuracies the rows hold, in the order of [`Row::robust`].
    pub attacks: Vec<AttackSpec>,
    /// Networks, in the order of their jobs' ids.
    pub rows: Vec<Row>,
    /// Where the numbers of each row come from, in the order of the rows.
    pub provenance: Vec<Provenance>,
    /// What else is to be said, such as why a job failed.
    pub remarks: Vec<String>,
}

/// One trained network, or one that is to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The job that trains it.
    pub job: JobId,
    /// The plan with which that job came.
    pub submission: SubmissionId,
    /// The job's name.
    pub name: String,
    /// Where the job stands.
    pub state: JobState,
    /// Why it failed, was skipped or is waiting.
    pub reason: Option<String>,
    /// How the network is trained.
    pub method: &'static str,
    /// The attack of adversarial training.
    pub training_attack: Option<AttackSpec>,
    /// The network.
    pub network: Arch,
    /// The images.
    pub dataset: Dataset,
    /// What the training computes in.
    pub precision: Precision,
    /// Seed of the training.
    pub seed: u64,
    /// Whose representation is matched; absent where the method has no teacher.
    pub teacher: Option<Teacher>,
    /// Whether the training began with another network's weights, to tune them.
    pub is_fine_tuning: bool,
    /// Epochs recorded so far.
    pub epochs_done: u32,
    /// Epochs of a complete training.
    pub epochs_total: u32,
    /// Accuracy on natural test images.
    pub natural: Measurement,
    /// Accuracy under each of [`Table::attacks`].
    pub robust: Vec<Measurement>,
    /// Time of each recorded epoch, in microseconds.
    pub epoch_us: Vec<u64>,
    /// All recorded epochs' times, the first (warm-up) one included.
    pub epoch_time: Option<EpochTime>,
    /// The same without the first epoch.
    pub epoch_time_without_first: Option<EpochTime>,
    /// Time of all epochs, in microseconds; absent until all are recorded.
    pub training_us: Option<u64>,
    /// The same with the trainings of all ancestors; absent where one of them is not known or not complete.
    pub training_with_teacher_us: Option<u64>,
    /// Against adversarial training of the same network.
    pub speed_up: Option<SpeedUp>,
    /// Where it was trained, such as `node1/cpu`.
    pub machines: Vec<String>,
}

impl Row {
    /// The network, and what it was trained in where that is not f32.
    pub(crate) fn network_label(&self) -> String {
        match self.precision {
            Precision::F32 => self.network.to_string(),
            precision => format!("{} in {precision}", self.network),
        }
    }
}

/// The robust network that a student imitates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Teacher {
    /// Another job's network.
    Job {
        /// The job.
        id: JobId,
        /// Its name; absent where the job is not among those reported on.
        name: Option<String>,
    },
    /// A file whose making is not known.
    Checkpoint(PathBuf),
    /// A network of the artifact store, by name or hash.
    Artifact(ArtifactRef),
}

/// An accuracy, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measurement {
    /// Measured.
    Measured {
        /// The counts.
        accuracy: Accuracy,
        /// By whom.
        source: Source,
        /// The mean of the classes' accuracies, a fraction, where classes differ much in size ([`rrm_spec::balanced`]).
        balanced: Option<f64>,
    },
    /// The evaluation has not succeeded.
    Pending {
        /// The evaluation.
        job: JobId,
        /// Where it stands.
        state: JobState,
    },
    /// Nobody measures it.
    Absent,
}

impl Measurement {
    /// The counts, where there are some.
    pub fn accuracy(self) -> Option<Accuracy> {
        match self {
            Self::Measured { accuracy, .. } => Some(accuracy),
            Self::Pending { .. } | Self::Absent => None,
        }
    }
}

/// Who measured an accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The evaluation with that id.
    Evaluation(JobId),
    /// The training's own validation after its last epoch.
    Validation,
}

impl Source {
    /// The source's name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluation(_) => "evaluation",
            Self::Validation => "validation",
        }
    }
}

/// How much less training time a network took than adversarial training of the same one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeedUp {
    /// By the network's own training time.
    pub without_teacher: f64,
    /// By the time of its training and of all that it builds on; absent where that is not known.
    pub with_teacher: Option<f64>,
    /// What it is compared with.
    pub baseline: Baseline,
}

/// Adversarial training of the same network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baseline {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its epochs.
    pub epochs: u32,
    /// Its time in microseconds, scaled where [`scaled_to_epochs`](Self::scaled_to_epochs) says so.
    pub training_us: f64,
    /// Whether it began with another network's weights, since nothing that began afresh is there.
    pub is_fine_tuning: bool,
    /// How many complete trainings could have been taken for it, itself among them.
    pub candidates: usize,
    /// Present where it trained for fewer epochs, as a timing reference: its mean epoch time counts so many times.
    pub scaled_to_epochs: Option<u32>,
    /// Whether it ran on the same kind of machine and device.
    pub comparable: Comparable,
}

/// Whether two trainings' times may be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparable {
    /// Same machine, same kind of device.
    SameMachine,
    /// Not so, or not known: the ratio mixes method and machine.
    OtherMachine,
}
