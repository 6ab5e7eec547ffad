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
    use crate::{AttackSpec, JobSpec, PgdDialect, Violations, read_job};

    /// An evaluation by an attack of these fields.
    fn evaluation(kind: &str, norm: &str, fields: &str) -> Result<JobSpec, Violations> {
        read_job(&format!(
            r#"{{"kind": "evaluate", "model": {{"checkpoint": "x"}}, "dataset": {{"name": "cifar10"}}, "batch_size": 1, "seed": 0,
                "attack": {{"kind": "{kind}", "threat": {{"norm": "{norm}", "epsilon": "1/255"}}, {fields}}}}}"#
        ))
    }

    fn read(norm: &str, version: &str) -> Result<JobSpec, Violations> {
        evaluation("autoattack", norm, &format!(r#""version": {version}"#))
    }

    fn pgd(start: &str, selection: &str, rest: &str) -> Result<JobSpec, Violations> {
        let rules = format!(r#""start": "{start}", "selection": "{selection}""#);
        evaluation("pgd", "l2", &format!(r#""steps": 5, "step_size": "0.1/255", {rules}{rest}"#))
    }

    fn told(faults: &Violations) -> Vec<String> {
        faults.iter().map(|fault| format!("{}: {}", fault.field, fault.allowed)).collect()
    }

    #[track_caller]
    fn faults(norm: &str, version: &str) -> Vec<String> {
        told(&read(norm, version).unwrap_err())
    }

    fn attack_of(job: JobSpec) -> AttackSpec {
        let JobSpec::Evaluate(spec) = job else { panic!("an evaluation was read") };
        spec.attack
    }

    #[test]
    fn pgd_without_a_dialect_is_madrylabs_and_is_written_without_one() {
        let plain = attack_of(pgd("uniform", "last", "").unwrap());
        let madry = attack_of(pgd("uniform", "last", r#", "dialect": "madry""#).unwrap());
        let AttackSpec::Pgd(spec) = &plain else { panic!("pgd was read") };
        assert_eq!((spec.dialect, &plain, plain.label().as_str()), (PgdDialect::Madry, &madry, "PGD 5x1"));
        assert!(!serde_json::to_string(&madry).unwrap().contains("dialect"));
    }

    #[test]
    fn arts_pgd_is_read_named_and_written() {
        let art = attack_of(pgd("natural", "last", r#", "dialect": "art""#).unwrap());
        assert_eq!(art.label(), "PGD (ART) 5x1");
        assert!(serde_json::to_string(&art).unwrap().contains(r#""dialect":"art""#));
        assert_ne!(art, attack_of(pgd("natural", "last", "").unwrap()));
    }

    #[test]
    fn arts_pgd_has_only_the_rules_that_art_has() {
        assert_eq!(
            told(&pgd("sphere", "best-loss", r#", "dialect": "art""#).unwrap_err()),
            [
                "attack.selection: must be last in ART's dialect",
                "attack.start: must be natural or uniform in ART's dialect",
            ]
        );
        assert!(pgd("sphere", "best-loss", r#", "dialect": "madry""#).is_ok());
    }

    #[test]
    fn every_version_takes_every_norm() {
        let custom = r#"{"kind": "custom", "attacks": ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]}"#;
        for version in [r#"{"kind": "standard"}"#, r#"{"kind": "plus"}"#, r#"{"kind": "rand"}"#, custom] {
            for norm in ["linf", "l2", "l1"] {
                assert!(read(norm, version).is_ok(), "{version} in {norm}");
            }
        }
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
