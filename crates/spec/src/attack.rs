//! Attacks that users name, with their parameters.

mod adaptive;
mod autoattack;
mod carlini_wagner;
mod fab;
mod fgsm;
mod square;

use std::num::NonZeroU32;

pub use adaptive::{AdaptiveSpec, Through};
pub use autoattack::{AutoAttackPart, AutoAttackSpec, AutoAttackVersion, CustomAutoAttack};
pub use fgsm::{FgsmDialect, FgsmSpec};

use serde::{Deserialize, Serialize};

use crate::{Epsilon, ThreatModel};
pub use carlini_wagner::CarliniWagnerSpec;
pub use fab::FabSpec;
pub use square::{SquareLoss, SquareSchedule, SquareSpec};

/// An attack on a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AttackSpec {
    /// One step (Goodfellow et al. 2015), with a random start in some dialects.
    Fgsm(FgsmSpec),
    /// Projected gradient descent (Madry et al. 2018) in the dialects of digest §2.4, §2.5 and §3.2.
    Pgd(PgdSpec),
    /// AutoPGD (Croce & Hein 2020, Algorithm 1; digest §3.3) in the reference form or in ART's.
    Apgd(ApgdSpec),
    /// Square Attack, a search without gradients (Andriushchenko et al. 2020; digest §3.4).
    Square(SquareSpec),
    /// Fast adaptive boundary attack, a search for the nearest misclassified image (Croce & Hein 2020; digest §3.4).
    Fab(FabSpec),
    /// Carlini & Wagner's l2 attack, a search for the nearest misclassified image (2017; digest §3.5).
    CarliniWagner(CarliniWagnerSpec),
    /// Several attacks in turn, each on the images that the ones before left.
    #[serde(rename = "autoattack")]
    AutoAttack(AutoAttackSpec),
    /// AutoPGD with what is known of the network's teacher.
    Adaptive(AdaptiveSpec),
}

impl AttackSpec {
    /// The ball in which the attack searches.
    pub fn threat(&self) -> &ThreatModel {
        match self {
            Self::Fgsm(spec) => &spec.threat,
            Self::Pgd(spec) => &spec.threat,
            Self::Apgd(spec) => &spec.threat,
            Self::Square(spec) => &spec.threat,
            Self::Fab(spec) => &spec.threat,
            Self::CarliniWagner(spec) => &spec.threat,
            Self::AutoAttack(spec) => &spec.threat,
            Self::Adaptive(spec) => &spec.threat,
        }
    }

    /// The attack's name and effort, such as `APGD-CE 20x5`.
    pub fn label(&self) -> String {
        match self {
            Self::Fgsm(spec) => spec.label(),
            Self::Pgd(spec) => spec.label(),
            Self::Apgd(spec) => spec.label(),
            Self::Square(spec) => spec.label(),
            Self::Fab(spec) => spec.label(),
            Self::CarliniWagner(spec) => spec.label(),
            Self::AutoAttack(spec) => spec.label(),
            Self::Adaptive(spec) => spec.label(),
        }
    }

    /// The way through the network's teacher, of an attack that must know it.
    pub fn through_teacher(&self) -> Option<Through> {
        match self {
            Self::Adaptive(spec) => Some(spec.through),
            Self::Fgsm(_)
            | Self::Pgd(_)
            | Self::Apgd(_)
            | Self::Square(_)
            | Self::Fab(_)
            | Self::CarliniWagner(_)
            | Self::AutoAttack(_) => None,
        }
    }

    /// How many images must be attacked at once, where results depend on it.
    pub fn fixed_batch(&self) -> Option<NonZeroU32> {
        match self {
            Self::Apgd(ApgdSpec { dialect: ApgdDialect::Art { batch }, .. }) => Some(*batch),
            Self::Fgsm(_)
            | Self::Pgd(_)
            | Self::Apgd(_)
            | Self::Square(_)
            | Self::Fab(_)
            | Self::CarliniWagner(_)
            | Self::AutoAttack(_)
            | Self::Adaptive(_) => None,
        }
    }

    /// The same attack with another radius. Given step sizes keep their share of it; those of radius 0 stay as they are.
    #[must_use]
    pub fn with_epsilon(&self, epsilon: &Epsilon) -> Self {
        let threat = ThreatModel { norm: self.threat().norm, epsilon: epsilon.clone() };
        let scaled = |step_size: &Epsilon| scaled(step_size, &self.threat().epsilon, epsilon);
        match self.clone() {
            Self::Fgsm(spec) => {
                let step_size = spec.step_size.as_ref().map(scaled);
                Self::Fgsm(FgsmSpec { threat, step_size, ..spec })
            }
            Self::Pgd(spec) => Self::Pgd(PgdSpec { threat, step_size: scaled(&spec.step_size), ..spec }),
            Self::Apgd(spec) => Self::Apgd(ApgdSpec { threat, ..spec }),
            Self::Square(spec) => Self::Square(SquareSpec { threat, ..spec }),
            Self::Fab(spec) => Self::Fab(FabSpec { threat, ..spec }),
            Self::CarliniWagner(spec) => Self::CarliniWagner(CarliniWagnerSpec { threat, ..spec }),
            Self::AutoAttack(spec) => Self::AutoAttack(AutoAttackSpec { threat, ..spec }),
            Self::Adaptive(spec) => Self::Adaptive(AdaptiveSpec { threat, ..spec }),
        }
    }
}

/// A step size that was meant for one radius, for another. The same radius leaves its text as it was written.
fn scaled(step_size: &Epsilon, from: &Epsilon, to: &Epsilon) -> Epsilon {
    if from.value() == 0.0 || from.value() == to.value() {
        return step_size.clone();
    }
    Epsilon::from(step_size.value() * to.value() / from.value())
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Whether a count is what a spec without it means. Such counts are not written, so that older specs keep their hash.
fn is_one(count: &NonZeroU32) -> bool {
    *count == NonZeroU32::MIN
}

/// What follows a label where gradients are averaged.
fn eot_label(eot: NonZeroU32) -> String {
    if is_one(&eot) { String::new() } else { format!(" EOT {eot}") }
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
    /// Restarts from fresh starting points, for [`PgdTarget::Each`] of each class.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// Whether the network is led away from the label or towards a class.
    #[serde(default, skip_serializing_if = "PgdTarget::is_default")]
    pub target: PgdTarget,
    /// Passes that each gradient is averaged over, for networks that draw random numbers (Athalye et al. 2018: EOT).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub eot: NonZeroU32,
    /// Whose steps.
    #[serde(default, skip_serializing_if = "PgdDialect::is_default")]
    pub dialect: PgdDialect,
}

impl PgdSpec {
    fn label(&self) -> String {
        let target = match self.target {
            PgdTarget::Untargeted => "",
            PgdTarget::Random => "-random",
            PgdTarget::LeastLikely => "-least-likely",
            PgdTarget::SecondBest => "-second-best",
            PgdTarget::Each => "-each",
        };
        let dialect = match self.dialect {
            PgdDialect::Madry => "",
            PgdDialect::Art => " (ART)",
        };
        format!("PGD{target}{dialect} {}x{}{}", self.steps, self.restarts, eot_label(self.eot))
    }
}

/// Where projected gradient descent leads to. A targeted attack lowers the cross-entropy of its target; it counts as a success
/// whenever the image is misclassified, as which class ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PgdTarget {
    /// Away from the label.
    #[default]
    Untargeted,
    /// Towards another class, drawn for each image and restart (Kurakin et al. 2017).
    Random,
    /// Towards the class that the natural image has the lowest logit of (Kurakin et al. 2017).
    LeastLikely,
    /// Towards the class, other than the label, that the natural image has the highest logit of.
    SecondBest,
    /// Towards every other class in turn, that of the highest natural logit first.
    Each,
}

impl PgdTarget {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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

impl PgdStart {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Natural => "natural",
            Self::Uniform => "uniform",
            Self::Sphere => "sphere",
        }
    }
}

/// Whose projected gradient descent takes the steps. In l∞ all take the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PgdDialect {
    /// MadryLab/robustness: back into the ball, then into the box.
    #[default]
    Madry,
    /// ART 1.7.2: back into the box, then into the ball. It hands back its last iterate and starts at the image or in the ball.
    Art,
}

impl PgdDialect {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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

impl PgdSelection {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::BestLoss => "best-loss",
            Self::StopWhenBroken => "stop-when-broken",
        }
    }
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
    /// Of the targeted loss, how many classes are tried; absent = 9, or one less than the network's classes where that is fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<NonZeroU32>,
    /// Passes that each gradient is averaged over, for networks that draw random numbers (Athalye et al. 2018: EOT).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub eot: NonZeroU32,
    /// Whose AutoPGD.
    #[serde(default, skip_serializing_if = "ApgdDialect::is_default")]
    pub dialect: ApgdDialect,
}

impl ApgdSpec {
    fn label(&self) -> String {
        let name = match self.loss {
            ApgdLoss::Ce => "APGD-CE",
            ApgdLoss::Dlr => "APGD-DLR",
            ApgdLoss::TargetedDlr => "APGD-T",
        };
        let dialect = match self.dialect {
            ApgdDialect::Reference => "",
            ApgdDialect::Art { .. } => " (ART)",
        };
        format!("{name}{dialect} {}x{}{}", self.iterations, self.restarts, eot_label(self.eot))
    }
}

/// The loss that AutoPGD maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApgdLoss {
    /// Cross-entropy.
    #[default]
    Ce,
    /// Difference of logits ratio, which no scale of the logits changes. Needs three classes.
    Dlr,
    /// The same towards one class after another, those of the highest natural logits first (APGD-T). Needs four classes.
    TargetedDlr,
}

impl ApgdLoss {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ce => "ce",
            Self::Dlr => "dlr",
            Self::TargetedDlr => "targeted-dlr",
        }
    }

    /// Classes that a network must tell apart for the loss to be defined.
    pub fn fewest_classes(self) -> u32 {
        match self {
            Self::Ce => 2,
            Self::Dlr => 3,
            Self::TargetedDlr => 4,
        }
    }
}

/// Whose AutoPGD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ApgdDialect {
    /// fra31/auto-attack: every image by itself.
    #[default]
    Reference,
    /// ART 1.7.2: one step size and one best point for each batch, and only the last iterate counts. The paper's numbers were
    /// made with it, in batches of 50.
    Art {
        /// Images per batch, consecutive ones of the test set; results depend on it.
        batch: NonZeroU32,
    },
}

impl ApgdDialect {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
