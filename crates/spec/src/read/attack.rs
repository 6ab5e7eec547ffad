//! Which fields attacks other than the iterated ones have.

use super::{
    fields::{Fields, Reading},
    job::{ONE, threat},
};
use crate::{ApgdDialect, AttackSpec, AutoAttackPart, AutoAttackSpec, AutoAttackVersion, CustomAutoAttack, FgsmSpec};

pub(super) fn fgsm(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Fgsm(FgsmSpec {
        threat: fields.table("threat", threat),
        dialect: fields.optional("dialect").unwrap_or_default(),
        step_size: fields.optional("step_size"),
    })
}

pub(super) fn apgd_dialect(fields: &mut Fields<'_>) -> ApgdDialect {
    let art: Reading<ApgdDialect> = |fields| ApgdDialect::Art { batch: fields.required("batch", ONE) };
    fields.tagged(&[("reference", (|_| ApgdDialect::Reference) as Reading<ApgdDialect>), ("art", art)])
}

pub(super) fn autoattack(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::AutoAttack(AutoAttackSpec {
        threat: fields.table("threat", threat),
        version: fields.table("version", version),
    })
}

fn version(fields: &mut Fields<'_>) -> AutoAttackVersion {
    fields.tagged(&[("rand", (|_| AutoAttackVersion::Rand) as Reading<AutoAttackVersion>), ("custom", custom)])
}

fn custom(fields: &mut Fields<'_>) -> AutoAttackVersion {
    // With a list that may have targets as the stand-in, they are not blamed for one that could not be read.
    let effort = CustomAutoAttack::of(fields.required("attacks", vec![AutoAttackPart::ApgdT]));
    AutoAttackVersion::Custom(CustomAutoAttack {
        iterations: fields.optional("iterations").unwrap_or(effort.iterations),
        restarts: fields.optional("restarts").unwrap_or(effort.restarts),
        targets: fields.optional("targets"),
        eot: fields.optional("eot").unwrap_or(effort.eot),
        attacks: effort.attacks,
    })
}
