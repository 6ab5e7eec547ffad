//! Which fields attacks other than the iterated ones have.

use super::{
    fields::{Fields, Reading},
    job::{ONE, threat},
};
use crate::{
    AdaptiveSpec, ApgdDialect, AttackSpec, AutoAttackPart, AutoAttackSpec, AutoAttackVersion, CustomAutoAttack,
    FgsmSpec,
};

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

pub(super) fn adaptive(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Adaptive(AdaptiveSpec {
        threat: fields.table("threat", threat),
        through: fields.optional("through").unwrap_or_default(),
        iterations: fields.required("iterations", ONE),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        distance: fields.optional("distance").unwrap_or_else(AdaptiveSpec::default_distance),
        weight: fields.optional("weight").unwrap_or_else(AdaptiveSpec::default_weight),
    })
}

fn version(fields: &mut Fields<'_>) -> AutoAttackVersion {
    fields.tagged(&[
        ("standard", (|_| AutoAttackVersion::Standard) as Reading<AutoAttackVersion>),
        ("plus", |_| AutoAttackVersion::Plus),
        ("rand", |_| AutoAttackVersion::Rand),
        ("custom", custom),
    ])
}

fn custom(fields: &mut Fields<'_>) -> AutoAttackVersion {
    // With a list that may have targets as the stand-in, they are not blamed for one that could not be read.
    let effort = CustomAutoAttack::of(fields.required("attacks", vec![AutoAttackPart::ApgdT]));
    AutoAttackVersion::Custom(CustomAutoAttack {
        iterations: fields.optional("iterations").unwrap_or(effort.iterations),
        restarts: fields.optional("restarts").unwrap_or(effort.restarts),
        targets: fields.optional("targets"),
        eot: fields.optional("eot").unwrap_or(effort.eot),
        queries: fields.optional("queries").unwrap_or(effort.queries),
        attacks: effort.attacks,
    })
}

#[cfg(test)]
mod tests {
    use crate::{JobSpec, Violations, read_job};

    fn read(norm: &str, version: &str) -> Result<JobSpec, Violations> {
        read_job(&format!(
            r#"{{"kind": "evaluate", "model": {{"checkpoint": "x"}}, "dataset": {{"name": "cifar10"}}, "batch_size": 1, "seed": 0,
                "attack": {{"kind": "autoattack", "threat": {{"norm": "{norm}", "epsilon": "1/255"}}, "version": {version}}}}}"#
        ))
    }

    #[track_caller]
    fn faults(norm: &str, version: &str) -> Vec<String> {
        let faults = read(norm, version).unwrap_err();
        faults.iter().map(|fault| format!("{}: {}", fault.field, fault.allowed)).collect()
    }

    #[test]
    fn versions_with_square_have_no_l1_and_others_have() {
        for version in ["standard", "plus"] {
            let version = format!(r#"{{"kind": "{version}"}}"#);
            assert!(read("l2", &version).is_ok());
            assert_eq!(faults("l1", &version), ["attack.threat.norm: must be linf or l2"]);
        }
        let square = r#"{"kind": "custom", "attacks": ["apgd-ce", "square"]}"#;
        assert_eq!(faults("l1", square), ["attack.threat.norm: must be linf or l2"]);
        assert!(read("l1", r#"{"kind": "rand"}"#).is_ok());
        assert!(
            read("l1", r#"{"kind": "custom", "attacks": ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t"]}"#).is_ok()
        );
    }

    #[test]
    fn every_fault_of_a_list_is_named() {
        let version = r#"{"kind": "custom", "attacks": ["square", "fab", "square"], "queries": 2000000, "targets": 3}"#;
        assert_eq!(
            faults("linf", version),
            [
                "attack.version.attacks: must be one attack or more, each once",
                "attack.version.targets: must be absent: only apgd-t and fab-t may have it",
                "attack.version.queries: must be 1 to 1000000",
            ]
        );
    }
}
