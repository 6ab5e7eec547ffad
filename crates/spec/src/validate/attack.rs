//! What attacks ask for beyond the range of a single field.

use std::num::NonZeroU32;

use super::{Checker, positive, radii, search_attack};
use crate::{
    AdaptiveSpec, ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, AutoAttackSpec, AutoAttackVersion, CustomAutoAttack,
    Epsilon, FgsmSpec, ModelSource, Norm, PgdDialect, PgdSelection, PgdSpec, PgdStart,
};

/// More targets than any network here has classes.
const MOST_TARGETS: u32 = 1000;

pub(super) fn fgsm(spec: &FgsmSpec, check: &mut Checker<'_>) {
    let FgsmSpec { threat: _, dialect: _, step_size } = spec;
    if let Some(step_size) = step_size {
        positive(step_size, "step_size", check);
    }
}

pub(super) fn eot(eot: NonZeroU32, check: &mut Checker<'_>) {
    check.at_most("eot", eot.get(), 1000);
}

pub(super) fn pgd(spec: &PgdSpec, check: &mut Checker<'_>) {
    eot(spec.eot, check);
    if spec.dialect == PgdDialect::Art {
        let is_last = spec.selection == PgdSelection::Last;
        check.require(is_last, "selection", spec.selection.name(), "must be last in ART's dialect");
        let is_known = spec.start != PgdStart::Sphere;
        check.require(is_known, "start", spec.start.name(), "must be natural or uniform in ART's dialect");
    }
}

pub(super) fn apgd(spec: &ApgdSpec, check: &mut Checker<'_>) {
    eot(spec.eot, check);
    targets(spec.targets, spec.loss == ApgdLoss::TargetedDlr, "loss targeted-dlr", check);
    if let ApgdDialect::Art { batch } = spec.dialect {
        check.require(spec.loss == ApgdLoss::Ce, "loss", spec.loss.name(), "must be ce in ART's dialect");
        check.require(spec.eot == NonZeroU32::MIN, "eot", spec.eot, "must be 1 in ART's dialect");
        check.within("dialect").at_most("batch", batch.get(), 4096);
    }
}

fn targets(targets: Option<NonZeroU32>, has_targets: bool, whose: &str, check: &mut Checker<'_>) {
    let Some(targets) = targets else { return };
    check.require(has_targets, "targets", targets, format!("must be absent: only {whose} may have it"));
    check.at_most("targets", targets.get(), MOST_TARGETS);
}

pub(super) fn autoattack(spec: &AutoAttackSpec, check: &mut Checker<'_>) {
    match &spec.version {
        AutoAttackVersion::Standard | AutoAttackVersion::Plus | AutoAttackVersion::Rand => {}
        AutoAttackVersion::Custom(custom) => self::custom(custom, &mut check.within("version")),
    }
}

fn custom(custom: &CustomAutoAttack, check: &mut Checker<'_>) {
    let CustomAutoAttack { attacks, iterations, restarts, targets: count, eot: passes, queries } = custom;
    let names: Vec<&str> = attacks.iter().map(|part| part.name()).collect();
    let are_distinct = (1..attacks.len()).all(|i| !attacks[..i].contains(&attacks[i]));
    let allowed = "must be one attack or more, each once";
    check.require(!attacks.is_empty() && are_distinct, "attacks", format!("[{}]", names.join(", ")), allowed);
    check.at_most("iterations", iterations.get(), 10_000);
    check.at_most("restarts", restarts.get(), 1000);
    targets(*count, attacks.iter().any(|part| part.is_targeted()), "apgd-t and fab-t", check);
    eot(*passes, check);
    search_attack::queries(*queries, check);
}

pub(super) fn adaptive(spec: &AdaptiveSpec, check: &mut Checker<'_>) {
    let AdaptiveSpec { threat, through: _, iterations, restarts, distance: _, weight } = spec;
    search_attack::norm(threat, AdaptiveSpec::NORMS, check);
    check.at_most("iterations", iterations.get(), 10_000);
    check.at_most("restarts", restarts.get(), 1000);
    check.require(*weight > 0.0 && *weight <= 1000.0, "weight", weight, "must be above 0 and at most 1000");
}

/// Only an evaluation names the teacher of the network that it attacks.
pub(super) fn without_teacher(spec: &AttackSpec, check: &mut Checker<'_>) {
    let allowed = "must be another attack: only an evaluation knows the teacher of the network that it attacks";
    check.require(spec.through_teacher().is_none(), "kind", "adaptive", allowed);
}

/// A teacher is there where the attack needs one, and nowhere else.
pub(super) fn teacher(teacher: Option<&ModelSource>, attack: &AttackSpec, check: &mut Checker<'_>) {
    let missing = "is missing: an adaptive attack must know the network's teacher, which goes without saying only where `model` \
                   names a job of the same plan that has one";
    let is_needed = attack.through_teacher().is_some();
    check.require(teacher.is_some() || !is_needed, "teacher", "", missing);
    check.require(
        teacher.is_none() || is_needed,
        "teacher",
        "",
        "must be absent: only an adaptive attack needs a teacher",
    );
}

/// The radii of an evaluation in one pass.
pub(super) fn epsilons(epsilons: &[Epsilon], norm: Norm, check: &mut Checker<'_>) {
    let (most, why) = radii(norm);
    let list = || format!("[{}]", epsilons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let is_inside = epsilons.iter().all(|epsilon| (0.0..=most).contains(&epsilon.value()));
    check.require(is_inside, "epsilons", list(), format!("each {why}"));
    let is_rising = epsilons.windows(2).all(|pair| pair[0].value() < pair[1].value());
    check.require(is_rising, "epsilons", list(), "must be strictly increasing");
    check.require(epsilons.len() <= 100, "epsilons", list(), "must be at most 100");
}
