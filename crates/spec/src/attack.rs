//! Attacks that users name, with their parameters.

mod carlini_wagner;
mod fab;
mod square;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Epsilon, ThreatModel};
pub use carlini_wagner::CarliniWagnerSpec;
pub use fab::FabSpec;
pub use square::{SquareLoss, SquareSchedule, SquareSpec};

/// An attack on a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AttackSpec {
    /// Projected gradient descent (Madry et al. 2018) in the dialects of digest §2.4, §2.5 and §3.2.
    Pgd(PgdSpec),
    /// AutoPGD in the reference form (Croce & Hein 2020, Algorithm 1; digest §3.3, column fra31).
    Apgd(ApgdSpec),
    /// Square Attack, a search without gradients (Andriushchenko et al. 2020; digest §3.4).
    Square(SquareSpec),
    /// Fast adaptive boundary attack, a search for the nearest misclassified image (Croce & Hein 2020; digest §3.4).
    Fab(FabSpec),
    /// Carlini & Wagner's l2 attack, a search for the nearest misclassified image (2017; digest §3.5).
    CarliniWagner(CarliniWagnerSpec),
}

impl AttackSpec {
    /// The ball in which the attack searches.
    pub fn threat(&self) -> &ThreatModel {
        match self {
            Self::Pgd(spec) => &spec.threat,
            Self::Apgd(spec) => &spec.threat,
            Self::Square(spec) => &spec.threat,
            Self::Fab(spec) => &spec.threat,
            Self::CarliniWagner(spec) => &spec.threat,
        }
    }

    /// The attack's name and effort, such as `APGD-CE 20x5`.
    pub fn label(&self) -> String {
        match self {
            Self::Pgd(spec) => format!("PGD {}x{}", spec.steps, spec.restarts),
            Self::Apgd(ApgdSpec { iterations, restarts, loss: ApgdLoss::Ce, .. }) => {
                format!("APGD-CE {iterations}x{restarts}")
            }
            Self::Square(spec) => spec.label(),
            Self::Fab(spec) => spec.label(),
            Self::CarliniWagner(spec) => spec.label(),
        }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Parameters of projected gradient descent on the cross-entropy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgdSpec {
    /// The ball.
    pub threat: ThreatModel,
    /// Gradient steps per restart.
    pub steps: NonZeroU32,
    /// Length of a step, in pixel units.
    pub step_size: Epsilon,
    /// Where each restart begins.
    pub start: PgdStart,
    /// Which iterate is handed back.
    pub selection: PgdSelection,
    /// Restarts from fresh starting points.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
}

/// Where projected gradient descent begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PgdStart {
    /// At the natural image.
    Natural,
    /// l∞: every pixel uniform in ±ε; l2: uniform inside the ball (ART).
    Uniform,
    /// l2: a random direction at distance ε (MadryLab); l∞: the largest change exactly ε (Croce & Hein).
    Sphere,
}

/// Which iterate projected gradient descent hands back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PgdSelection {
    /// The last iterate; a later restart replaces it only where it misclassifies (Fast AT, ART).
    Last,
    /// The iterate of highest cross-entropy over steps and restarts, by strict improvement (MadryLab).
    BestLoss,
    /// Images stop moving once misclassified; of the restarts' last iterates the one of highest cross-entropy, later
    /// ones winning ties (Wong et al. and the authors' own evaluation).
    StopWhenBroken,
}

/// Parameters of AutoPGD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApgdSpec {
    /// The ball.
    pub threat: ThreatModel,
    /// Iterations per restart.
    pub iterations: NonZeroU32,
    /// Restarts, each on the images that no earlier one broke.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// What is maximised.
    #[serde(default)]
    pub loss: ApgdLoss,
}

/// The loss that AutoPGD maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApgdLoss {
    /// Cross-entropy.
    #[default]
    Ce,
}
