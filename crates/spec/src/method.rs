//! Training methods.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{AttackSpec, Epsilon, ModelSource, ThreatModel};

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Cross-entropy on natural images.
    Natural,
    /// Cross-entropy on adversarial images only: SAT (digest §2.4) and Fast AT (§2.5) are the same step with other
    /// parameters.
    AdversarialTraining {
        /// How the adversarial images are made.
        attack: AttackSpec,
        /// In which mode the network is attacked: `eval` freezes the running statistics (SAT), `train` moves them (Fast AT).
        attack_mode: Mode,
    },
    /// "Free" adversarial training (Shafahi et al. 2019; digest §2.6): each batch is replayed, and one backward pass moves both
    /// the weights and the change of the images.
    FreeAdversarialTraining {
        /// The ball that the change stays in.
        threat: ThreatModel,
        /// Length of the change's step per replay; the authors' is the whole radius.
        step_size: Epsilon,
        /// Replays of a batch, each with an update.
        replays: NonZeroU32,
        /// What the next batch begins with.
        #[serde(default)]
        perturbation: Perturbation,
    },
    /// Robust Representation Matching (digest §2.7): λ·cross-entropy + representation loss against a frozen teacher, on
    /// natural images.
    Rrm {
        /// The robust network whose representation is matched.
        teacher: ModelSource,
        /// How representations are compared.
        representation_loss: RepresentationLoss,
        /// Weight λ of the cross-entropy.
        lambda: f64,
        /// Student updates per batch and teacher forward.
        #[serde(default = "one")]
        replays: NonZeroU32,
    },
    /// Knowledge distillation (Hinton et al. 2015; digest §2.9): α·T²·KL to a frozen teacher's softened predictions +
    /// (1 − α)·cross-entropy, on natural images.
    KnowledgeDistillation {
        /// The network whose predictions are learned.
        teacher: ModelSource,
        /// T, by which the loss divides the logits of both, whatever the networks themselves divide them by; in the paper's form
        /// the networks do, and the loss does not.
        temperature: f64,
        /// α.
        alpha: f64,
        /// Whose form of the two terms.
        #[serde(default)]
        form: DistillationForm,
    },
    /// Adversarially Robust Distillation (Goldblum et al. 2020; digest §2.9): the same with the student's predictions for
    /// adversarial images in the divergence.
    AdversariallyRobustDistillation {
        /// The network whose predictions for natural images are learned.
        teacher: ModelSource,
        /// How the adversarial images are made.
        attack: AttackSpec,
        /// In which mode the student is attacked.
        attack_mode: Mode,
        /// T.
        temperature: f64,
        /// α.
        alpha: f64,
        /// Whose form of the two terms.
        #[serde(default)]
        form: DistillationForm,
    },
    /// TRADES (Zhang et al. 2019): cross-entropy on natural images + β·KL between their predictions and those of the images in the
    /// ball that are furthest from them.
    Trades {
        /// The ball.
        threat: ThreatModel,
        /// Gradient steps of the search.
        steps: NonZeroU32,
        /// Their length, in pixel units.
        step_size: Epsilon,
        /// β, 1/λ of the paper.
        beta: f64,
    },
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Method {
    /// The method's name in tables.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Natural => "natural",
            Self::AdversarialTraining { .. } => "adversarial training",
            Self::FreeAdversarialTraining { .. } => "free adversarial training",
            Self::Rrm { .. } => "RRM",
            Self::KnowledgeDistillation { .. } => "knowledge distillation",
            Self::AdversariallyRobustDistillation { .. } => "ARD",
            Self::Trades { .. } => "TRADES",
        }
    }

    /// Whether the student's representation must be as wide as its teacher's.
    pub fn matches_representations(&self) -> bool {
        matches!(self, Self::Rrm { .. })
    }

    /// T, where teacher and student must divide their logits by it themselves: of a distillation in the paper's form.
    pub fn temperature_of_networks(&self) -> Option<f64> {
        match self {
            Self::KnowledgeDistillation { temperature, form: DistillationForm::Paper, .. }
            | Self::AdversariallyRobustDistillation { temperature, form: DistillationForm::Paper, .. } => {
                Some(*temperature)
            }
            Self::Natural
            | Self::AdversarialTraining { .. }
            | Self::FreeAdversarialTraining { .. }
            | Self::Rrm { .. }
            | Self::KnowledgeDistillation { .. }
            | Self::AdversariallyRobustDistillation { .. }
            | Self::Trades { .. } => None,
        }
    }

    /// The trained network that the method learns from.
    pub fn teacher(&self) -> Option<&ModelSource> {
        match self {
            Self::Rrm { teacher, .. }
            | Self::KnowledgeDistillation { teacher, .. }
            | Self::AdversariallyRobustDistillation { teacher, .. } => Some(teacher),
            Self::Natural
            | Self::AdversarialTraining { .. }
            | Self::FreeAdversarialTraining { .. }
            | Self::Trades { .. } => None,
        }
    }

    /// The same, to be replaced.
    pub fn teacher_mut(&mut self) -> Option<&mut ModelSource> {
        match self {
            Self::Rrm { teacher, .. }
            | Self::KnowledgeDistillation { teacher, .. }
            | Self::AdversariallyRobustDistillation { teacher, .. } => Some(teacher),
            Self::Natural
            | Self::AdversarialTraining { .. }
            | Self::FreeAdversarialTraining { .. }
            | Self::Trades { .. } => None,
        }
    }
}

/// What Free AT begins a batch with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Perturbation {
    /// The change that the batch before ended with, row by row, across epochs too: as the released code does.
    #[default]
    Carried,
    /// No change: as the paper of RRM says (§6.2.2).
    Reset,
}

/// The two terms of a distillation loss, with s and t the logits of student and teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistillationForm {
    /// KL is a mean over images; the cross-entropy is that of s.
    #[default]
    Textbook,
    /// As the code released with the paper (and Goldblum's): KL is a mean over images and classes; the cross-entropy is that of s/T.
    Released,
    /// Equation 6 of the paper, with Sᵗ and Tᵗ as networks: student and teacher have divided their logits by T when they hand them
    /// out, and the loss does not divide again, neither for KL, a mean over images, nor for the cross-entropy.
    Paper,
}

/// How a student's representation is compared with its teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepresentationLoss {
    /// 1 − cosine similarity.
    Cosine,
    /// ‖s − t‖₂ / ‖t‖₂.
    RelativeL2,
    /// ‖s − t‖₂.
    L2,
}

/// Whether batch-norm uses and moves batch statistics, or uses its running ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Batch statistics, moving the running ones.
    Train,
    /// Running statistics, left as they are.
    Eval,
}
