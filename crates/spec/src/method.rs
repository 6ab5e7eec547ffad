//! Training methods.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{AttackSpec, ModelSource};

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
            Self::Rrm { .. } => "RRM",
        }
    }
}

/// How a student's representation is compared with its teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepresentationLoss {
    /// 1 − cosine similarity.
    Cosine,
    /// ‖s − t‖₂ / ‖t‖₂.
    RelativeL2,
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
