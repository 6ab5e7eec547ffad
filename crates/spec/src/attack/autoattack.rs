//! AutoAttack: several attacks in turn, each on the images that the ones before left.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, one};
use crate::{ThreatModel, Violation, Violations};

/// Iterations of each part of the reference's versions.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

/// Passes that version `rand` averages its gradients over.
const RAND_PASSES: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// Parameters of AutoAttack (Croce & Hein 2020; fra31/auto-attack).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoAttackSpec {
    /// The ball, which all parts share.
    pub threat: ThreatModel,
    /// Which attacks.
    pub version: AutoAttackVersion,
}

/// Which attacks AutoAttack is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AutoAttackVersion {
    /// APGD-CE and APGD-DLR of 100 iterations whose gradients are averaged over 20 passes: for networks that draw random numbers.
    Rand,
    /// A list of the user's.
    Custom(CustomAutoAttack),
}

/// A list of attacks, and the effort of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomAutoAttack {
    /// In this order; each at most once.
    pub attacks: Vec<AutoAttackPart>,
    /// Iterations of each.
    #[serde(default = "iterations")]
    pub iterations: NonZeroU32,
    /// Restarts of each, and of each target.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// Classes that targeted parts try; absent = 9, or one less than the network's classes where that is fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<NonZeroU32>,
    /// Passes that each gradient is averaged over.
    #[serde(default = "one", skip_serializing_if = "super::is_one")]
    pub eot: NonZeroU32,
}

/// An attack as a part of AutoAttack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoAttackPart {
    /// AutoPGD on the cross-entropy.
    ApgdCe,
    /// AutoPGD on the difference of logits ratio.
    ApgdDlr,
    /// AutoPGD on the targeted difference of logits ratio, for one class after another.
    ApgdT,
}

pub(super) fn iterations() -> NonZeroU32 {
    ITERATIONS
}

impl CustomAutoAttack {
    /// So many iterations as the reference's versions take of these attacks.
    pub fn of(attacks: Vec<AutoAttackPart>) -> Self {
        Self { attacks, iterations: ITERATIONS, restarts: one(), targets: None, eot: one() }
    }
}

impl AutoAttackPart {
    /// The part's own name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApgdCe => "APGD-CE",
            Self::ApgdDlr => "APGD-DLR",
            Self::ApgdT => "APGD-T",
        }
    }

    /// Whether it tries one class after another.
    pub(crate) fn is_targeted(self) -> bool {
        match self {
            Self::ApgdCe | Self::ApgdDlr => false,
            Self::ApgdT => true,
        }
    }

    fn attack(self, threat: &ThreatModel, effort: &CustomAutoAttack) -> AttackSpec {
        let CustomAutoAttack { attacks: _, iterations, restarts, targets, eot } = *effort;
        let apgd = |loss, targets| {
            let (threat, dialect) = (threat.clone(), ApgdDialect::Reference);
            AttackSpec::Apgd(ApgdSpec { threat, iterations, restarts, loss, targets, eot, dialect })
        };
        match self {
            Self::ApgdCe => apgd(ApgdLoss::Ce, None),
            Self::ApgdDlr => apgd(ApgdLoss::Dlr, None),
            Self::ApgdT => apgd(ApgdLoss::TargetedDlr, targets),
        }
    }
}

impl AutoAttackSpec {
    /// The attacks that it is made of, in their order.
    pub fn parts(&self) -> Vec<AttackSpec> {
        let parts = |effort: &CustomAutoAttack| {
            effort.attacks.iter().map(|part| part.attack(&self.threat, effort)).collect::<Vec<_>>()
        };
        match &self.version {
            AutoAttackVersion::Rand => {
                let attacks = vec![AutoAttackPart::ApgdCe, AutoAttackPart::ApgdDlr];
                parts(&CustomAutoAttack { eot: RAND_PASSES, ..CustomAutoAttack::of(attacks) })
            }
            AutoAttackVersion::Custom(custom) => parts(custom),
        }
    }

    pub(super) fn label(&self) -> String {
        match &self.version {
            AutoAttackVersion::Rand => "AutoAttack rand".to_owned(),
            AutoAttackVersion::Custom(custom) => {
                let names: Vec<&str> = custom.attacks.iter().map(|part| part.name()).collect();
                format!("AutoAttack {} {}x{}", names.join("+"), custom.iterations, custom.restarts)
            }
        }
    }
}

impl AttackSpec {
    /// The attacks that it is made of, in their order: those of an AutoAttack, and of any other itself.
    pub fn parts(&self) -> Vec<AttackSpec> {
        match self {
            Self::AutoAttack(spec) => spec.parts(),
            Self::Fgsm(_) | Self::Pgd(_) | Self::Apgd(_) => vec![self.clone()],
        }
    }

    /// Whether a network of so many classes can be attacked so: DLR needs three, targeted DLR four, and there are no more
    /// targets than other classes.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check_classes(&self, classes: u32) -> Result<(), Violations> {
        let mut found = Vec::new();
        for part in self.parts() {
            let Self::Apgd(spec) = part else { continue };
            let fewest = spec.loss.fewest_classes();
            if classes < fewest {
                let allowed = format!("needs a network of at least {fewest} classes, not {classes}");
                found.push(Violation { field: "attack.loss".into(), value: spec.loss.name().into(), allowed });
            } else if let Some(targets) = spec.targets.filter(|targets| targets.get() >= classes) {
                let allowed = format!("must be 1 to {} for a network of {classes} classes", classes - 1);
                found.push(Violation { field: "attack.targets".into(), value: targets.to_string(), allowed });
            }
        }
        Violations::check(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(attacks: &[AutoAttackPart], targets: Option<u32>) -> AttackSpec {
        let threat = ThreatModel { norm: crate::Norm::Linf, epsilon: "8/255".parse().unwrap() };
        let custom =
            CustomAutoAttack { targets: targets.and_then(NonZeroU32::new), ..CustomAutoAttack::of(attacks.to_vec()) };
        AttackSpec::AutoAttack(AutoAttackSpec { threat, version: AutoAttackVersion::Custom(custom) })
    }

    #[test]
    fn the_random_version_is_that_of_the_reference() {
        let AttackSpec::AutoAttack(spec) = custom(&[], None) else { unreachable!("it was made so") };
        let spec = AttackSpec::AutoAttack(AutoAttackSpec { version: AutoAttackVersion::Rand, ..spec });
        let labels: Vec<String> = spec.parts().iter().map(AttackSpec::label).collect();
        assert_eq!(labels, ["APGD-CE 100x1 EOT 20", "APGD-DLR 100x1 EOT 20"]);
    }

    #[test]
    fn nine_classes_have_eight_targets_at_most() {
        let with = |targets| custom(&[AutoAttackPart::ApgdT], targets);
        assert_eq!(with(Some(8)).check_classes(9), Ok(()));
        assert_eq!(with(None).check_classes(9), Ok(()));
        let faults = with(Some(9)).check_classes(9).unwrap_err().to_string();
        assert!(faults.contains("attack.targets = 9: must be 1 to 8 for a network of 9 classes"), "{faults}");
    }

    #[test]
    fn every_loss_that_a_network_has_too_few_classes_for_is_named() {
        let attack = custom(&[AutoAttackPart::ApgdCe, AutoAttackPart::ApgdDlr, AutoAttackPart::ApgdT], None);
        let faults = |classes| attack.check_classes(classes).map_or_else(|faults| faults.iter().count(), |()| 0);
        assert_eq!([2, 3, 4].map(faults), [2, 1, 0]);
    }
}
