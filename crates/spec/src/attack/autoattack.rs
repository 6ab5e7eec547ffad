//! AutoAttack: several attacks in turn, each on the images that the ones before left.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, FabSpec, SquareLoss, SquareSchedule, SquareSpec, one};
use crate::{Norm, ThreatModel, Violation, Violations};

/// Iterations of each part of the reference's versions.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

/// Queries of Square Attack in the reference's versions.
const QUERIES: NonZeroU32 = NonZeroU32::new(5000).expect("not zero");

/// Classes that FAB-T goes for in the reference's versions; fewer where the network has fewer.
const TARGETS: NonZeroU32 = NonZeroU32::new(9).expect("not zero");

/// Restarts of the untargeted parts of version `plus`.
const PLUS_RESTARTS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Restarts of APGD-CE in version `standard` in l1.
const L1_RESTARTS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Classes that APGD-T goes for in version `standard` in l1; fewer where the network has fewer.
const L1_TARGETS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

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
    /// APGD-CE, APGD-T, FAB-T and Square, of one restart each (in l1 APGD-CE of five, and APGD-T towards five classes): what is meant by
    /// AutoAttack where nothing else is said.
    Standard,
    /// APGD-CE, APGD-DLR and FAB of five restarts each, Square, APGD-T and FAB-T.
    Plus,
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
    /// Iterations of AutoPGD and FAB.
    #[serde(default = "iterations")]
    pub iterations: NonZeroU32,
    /// Restarts of each, and of each target.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// Classes that targeted parts try; absent = 9, or one less than the network's classes where that is fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<NonZeroU32>,
    /// Passes that each gradient of AutoPGD is averaged over.
    #[serde(default = "one", skip_serializing_if = "super::is_one")]
    pub eot: NonZeroU32,
    /// Queries of Square Attack.
    #[serde(default = "queries")]
    pub queries: NonZeroU32,
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
    /// The fast adaptive boundary attack on all classes at once.
    Fab,
    /// The fast adaptive boundary attack for one class after another.
    FabT,
    /// Square Attack.
    Square,
}

pub(super) fn iterations() -> NonZeroU32 {
    ITERATIONS
}

fn queries() -> NonZeroU32 {
    QUERIES
}

impl CustomAutoAttack {
    /// So many iterations and queries as the reference's versions take of these attacks.
    pub fn of(attacks: Vec<AutoAttackPart>) -> Self {
        Self { attacks, iterations: ITERATIONS, restarts: one(), targets: None, eot: one(), queries: QUERIES }
    }

    fn parts(&self, threat: &ThreatModel) -> impl Iterator<Item = AttackSpec> {
        self.attacks.iter().map(|part| part.attack(threat, self))
    }
}

impl AutoAttackPart {
    /// The part's own name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApgdCe => "APGD-CE",
            Self::ApgdDlr => "APGD-DLR",
            Self::ApgdT => "APGD-T",
            Self::Fab => "FAB",
            Self::FabT => "FAB-T",
            Self::Square => "Square",
        }
    }

    /// Whether it tries one class after another.
    pub(crate) fn is_targeted(self) -> bool {
        match self {
            Self::ApgdCe | Self::ApgdDlr | Self::Fab | Self::Square => false,
            Self::ApgdT | Self::FabT => true,
        }
    }

    fn attack(self, threat: &ThreatModel, effort: &CustomAutoAttack) -> AttackSpec {
        let CustomAutoAttack { attacks: _, iterations, restarts, targets, eot, queries } = *effort;
        let threat = threat.clone();
        let apgd = |threat, loss, targets| {
            let dialect = ApgdDialect::Reference;
            AttackSpec::Apgd(ApgdSpec { threat, iterations, restarts, loss, targets, eot, dialect })
        };
        let fab = |threat, targets| AttackSpec::Fab(FabSpec { threat, iterations, restarts, targets });
        match self {
            Self::ApgdCe => apgd(threat, ApgdLoss::Ce, None),
            Self::ApgdDlr => apgd(threat, ApgdLoss::Dlr, None),
            Self::ApgdT => apgd(threat, ApgdLoss::TargetedDlr, targets),
            Self::Fab => fab(threat, None),
            Self::FabT => fab(threat, Some(targets.unwrap_or(TARGETS))),
            Self::Square => AttackSpec::Square(SquareSpec {
                threat,
                queries,
                restarts,
                loss: SquareLoss::default(),
                initial_share: SquareSpec::default_initial_share(),
                schedule: SquareSchedule::default(),
            }),
        }
    }
}

impl AutoAttackVersion {
    /// The lists that it is made of, one after another.
    fn lists(&self, norm: Norm) -> Vec<CustomAutoAttack> {
        use AutoAttackPart::{ApgdCe, ApgdDlr, ApgdT, Fab, FabT, Square};
        let of = |attacks: &[AutoAttackPart]| CustomAutoAttack::of(attacks.to_vec());
        match self {
            Self::Standard if norm == Norm::L1 => vec![
                CustomAutoAttack { restarts: L1_RESTARTS, ..of(&[ApgdCe]) },
                CustomAutoAttack { targets: Some(L1_TARGETS), ..of(&[ApgdT]) },
                of(&[FabT, Square]),
            ],
            Self::Standard => vec![of(&[ApgdCe, ApgdT, FabT, Square])],
            Self::Plus => vec![
                CustomAutoAttack { restarts: PLUS_RESTARTS, ..of(&[ApgdCe, ApgdDlr, Fab]) },
                of(&[Square, ApgdT, FabT]),
            ],
            Self::Rand => vec![CustomAutoAttack { eot: RAND_PASSES, ..of(&[ApgdCe, ApgdDlr]) }],
            Self::Custom(custom) => vec![custom.clone()],
        }
    }

    /// Whether its numbers are the reference's and not the user's.
    fn is_named(&self) -> bool {
        match self {
            Self::Standard | Self::Plus | Self::Rand => true,
            Self::Custom(_) => false,
        }
    }
}

impl AutoAttackSpec {
    /// The attacks that it is made of, in their order.
    pub fn parts(&self) -> Vec<AttackSpec> {
        self.version.lists(self.threat.norm).iter().flat_map(|list| list.parts(&self.threat)).collect()
    }

    pub(super) fn label(&self) -> String {
        match &self.version {
            AutoAttackVersion::Standard => "AutoAttack standard".to_owned(),
            AutoAttackVersion::Plus => "AutoAttack plus".to_owned(),
            AutoAttackVersion::Rand => "AutoAttack rand".to_owned(),
            AutoAttackVersion::Custom(custom) => {
                let names: Vec<&str> = custom.attacks.iter().map(|part| part.name()).collect();
                format!("AutoAttack {} {}x{}", names.join("+"), custom.iterations, custom.restarts)
            }
        }
    }
}

impl AttackSpec {
    /// The attacks that it is made of, in their order: those of an AutoAttack, the ways of an adaptive attack, and of any other
    /// itself.
    pub fn parts(&self) -> Vec<AttackSpec> {
        match self {
            Self::AutoAttack(spec) => spec.parts(),
            Self::Adaptive(spec) => spec.parts().into_iter().map(Self::Adaptive).collect(),
            Self::Fgsm(_) | Self::Pgd(_) | Self::Apgd(_) | Self::Square(_) | Self::Fab(_) | Self::CarliniWagner(_) => {
                vec![self.clone()]
            }
        }
    }

    /// Whether a network of so many classes can be attacked so: DLR needs three, targeted DLR four, and a user asks for no more
    /// targets than there are other classes.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check_classes(&self, classes: u32) -> Result<(), Violations> {
        let within = |fault: Violation| Violation { field: format!("attack.{}", fault.field), ..fault };
        Violations::check(self.class_faults(classes).into_iter().map(within).collect())
    }

    /// The same, with fields as they are called within the attack.
    pub(crate) fn class_faults(&self, classes: u32) -> Vec<Violation> {
        let (loss, targets_of) = match self {
            Self::AutoAttack(_) => ("version", "version.targets"),
            _ => ("loss", "targets"),
        };
        let has_own_targets = !matches!(self, Self::AutoAttack(spec) if spec.version.is_named());
        let mut found = Vec::new();
        for part in self.parts() {
            let Self::Apgd(spec) = part else { continue };
            let fewest = spec.loss.fewest_classes();
            if classes < fewest {
                let allowed = format!("needs a network of at least {fewest} classes, not {classes}");
                found.push(Violation { field: loss.to_owned(), value: spec.loss.name().into(), allowed });
            } else if let Some(targets) = spec.targets.filter(|targets| has_own_targets && targets.get() >= classes) {
                let allowed = format!("must be 1 to {} for a network of {classes} classes", classes - 1);
                found.push(Violation { field: targets_of.to_owned(), value: targets.to_string(), allowed });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(attacks: &[AutoAttackPart], targets: Option<u32>) -> AttackSpec {
        let threat = ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() };
        let custom =
            CustomAutoAttack { targets: targets.and_then(NonZeroU32::new), ..CustomAutoAttack::of(attacks.to_vec()) };
        AttackSpec::AutoAttack(AutoAttackSpec { threat, version: AutoAttackVersion::Custom(custom) })
    }

    fn labels(version: AutoAttackVersion) -> Vec<String> {
        within(Norm::Linf, version).parts().iter().map(AttackSpec::label).collect()
    }

    fn within(norm: Norm, version: AutoAttackVersion) -> AutoAttackSpec {
        AutoAttackSpec { threat: ThreatModel { norm, epsilon: "8/255".parse().unwrap() }, version }
    }

    #[test]
    fn versions_are_those_of_the_reference() {
        let standard = ["APGD-CE 100x1", "APGD-T 100x1", "FAB-T 100x1 (9 targets)", "Square 5000x1"];
        assert_eq!(labels(AutoAttackVersion::Standard), standard);
        let untargeted = ["APGD-CE 100x5", "APGD-DLR 100x5", "FAB 100x5"];
        let others = ["Square 5000x1", "APGD-T 100x1", "FAB-T 100x1 (9 targets)"];
        assert_eq!(labels(AutoAttackVersion::Plus), [untargeted, others].concat());
        assert_eq!(labels(AutoAttackVersion::Rand), ["APGD-CE 100x1 EOT 20", "APGD-DLR 100x1 EOT 20"]);
    }

    #[test]
    fn standard_in_l1_has_more_restarts_and_fewer_targets() {
        let parts = within(Norm::L1, AutoAttackVersion::Standard).parts();
        let labels: Vec<String> = parts.iter().map(AttackSpec::label).collect();
        assert_eq!(labels, ["APGD-CE 100x5", "APGD-T 100x1", "FAB-T 100x1 (9 targets)", "Square 5000x1"]);
        let AttackSpec::Apgd(targeted) = &parts[1] else { panic!("{parts:?}") };
        assert_eq!(targeted.targets, NonZeroU32::new(5));
        let five_classes = AttackSpec::AutoAttack(within(Norm::L1, AutoAttackVersion::Standard)).check_classes(5);
        assert_eq!(five_classes, Ok(()), "there are four targets then");
    }

    #[test]
    fn only_standard_has_parts_of_its_own_in_l1() {
        for version in [AutoAttackVersion::Plus, AutoAttackVersion::Rand] {
            let of = |norm| within(norm, version.clone()).parts().iter().map(AttackSpec::label).collect::<Vec<_>>();
            assert_eq!(of(Norm::L1), of(Norm::Linf));
        }
    }

    #[test]
    fn a_list_of_the_users_shares_its_effort() {
        let attacks = vec![AutoAttackPart::Square, AutoAttackPart::FabT, AutoAttackPart::ApgdT, AutoAttackPart::Fab];
        let [few, two, three, four] = [7, 2, 3, 4].map(|count| NonZeroU32::new(count).unwrap());
        let effort = CustomAutoAttack {
            attacks,
            iterations: few,
            restarts: two,
            targets: Some(three),
            eot: one(),
            queries: four,
        };
        assert_eq!(
            labels(AutoAttackVersion::Custom(effort)),
            ["Square 4x2", "FAB-T 7x2 (3 targets)", "APGD-T 7x2", "FAB 7x2"]
        );
    }

    #[test]
    fn the_standard_version_attacks_nine_classes_and_refuses_three() {
        let AttackSpec::AutoAttack(spec) = custom(&[], None) else { unreachable!("it was made so") };
        let spec = AttackSpec::AutoAttack(AutoAttackSpec { version: AutoAttackVersion::Standard, ..spec });
        assert_eq!(spec.check_classes(9), Ok(()));
        let faults = spec.check_classes(3).unwrap_err().to_string();
        assert!(faults.contains("needs a network of at least 4 classes, not 3"), "{faults}");
    }

    #[test]
    fn nine_classes_have_eight_targets_at_most() {
        let with = |targets| custom(&[AutoAttackPart::ApgdT], targets);
        assert_eq!(with(Some(8)).check_classes(9), Ok(()));
        assert_eq!(with(None).check_classes(9), Ok(()));
        let faults = with(Some(9)).check_classes(9).unwrap_err().to_string();
        assert!(faults.contains("attack.version.targets = 9: must be 1 to 8 for a network of 9 classes"), "{faults}");
    }

    #[test]
    fn every_loss_that_a_network_has_too_few_classes_for_is_named() {
        let attack = custom(&[AutoAttackPart::ApgdCe, AutoAttackPart::ApgdDlr, AutoAttackPart::ApgdT], None);
        let faults = |classes| attack.check_classes(classes).map_or_else(|faults| faults.iter().count(), |()| 0);
        assert_eq!([2, 3, 4].map(faults), [2, 1, 0]);
    }
}
