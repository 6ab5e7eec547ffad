//! Attacks that are no ascent of a loss within the ball.

use super::{
    fields::Fields,
    job::{ONE, threat},
};
use crate::{AttackSpec, CarliniWagnerSpec, FabSpec, SquareSpec};

pub(super) fn square(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Square(SquareSpec {
        threat: fields.table("threat", threat),
        queries: fields.required("queries", ONE),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        loss: fields.optional("loss").unwrap_or_default(),
        initial_share: fields.optional("initial_share").unwrap_or_else(SquareSpec::default_initial_share),
        schedule: fields.optional("schedule").unwrap_or_default(),
    })
}

pub(super) fn fab(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Fab(FabSpec {
        threat: fields.table("threat", threat),
        iterations: fields.required("iterations", ONE),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        targets: fields.optional("targets"),
    })
}

pub(super) fn carlini_wagner(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::CarliniWagner(CarliniWagnerSpec {
        threat: fields.table("threat", threat),
        iterations: fields.required("iterations", ONE),
        search_steps: fields.optional("search_steps").unwrap_or_else(CarliniWagnerSpec::default_search_steps),
        learning_rate: fields.optional("learning_rate").unwrap_or_else(CarliniWagnerSpec::default_learning_rate),
        initial_constant: fields
            .optional("initial_constant")
            .unwrap_or_else(CarliniWagnerSpec::default_initial_constant),
        confidence: fields.optional("confidence").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use crate::{EvaluateSpec, JobSpec, Violations, read_job};

    fn read(attack: &str) -> Result<JobSpec, Violations> {
        read_job(&format!(
            r#"{{"kind": "evaluate", "model": {{"checkpoint": "x"}}, "dataset": {{"name": "cifar10"}}, "attack": {attack},
                "batch_size": 1, "seed": 0}}"#
        ))
    }

    #[track_caller]
    fn faults(attack: &str) -> Vec<String> {
        read(attack).unwrap_err().iter().map(|fault| format!("{}: {}", fault.field, fault.allowed)).collect()
    }

    #[test]
    fn what_is_not_said_is_as_in_the_reference() {
        for (attack, label) in [
            (r#"{"kind": "square", "threat": {"norm": "linf", "epsilon": "8/255"}, "queries": 5000}"#, "Square 5000x1"),
            (r#"{"kind": "fab", "threat": {"norm": "l1", "epsilon": 12}, "iterations": 100}"#, "FAB 100x1"),
            (
                r#"{"kind": "fab", "threat": {"norm": "l2", "epsilon": 1}, "iterations": 100, "targets": 9}"#,
                "FAB-T 100x1 (9 targets)",
            ),
            (r#"{"kind": "carlini-wagner", "threat": {"norm": "l2", "epsilon": 1}, "iterations": 1000}"#, "CW 9x1000"),
        ] {
            let JobSpec::Evaluate(EvaluateSpec { attack, .. }) = read(attack).unwrap() else {
                unreachable!("evaluate")
            };
            assert_eq!(attack.label(), label);
        }
    }

    #[test]
    fn every_range_is_named_at_once() {
        let square = r#"{"kind": "square", "threat": {"norm": "l1", "epsilon": 1}, "queries": 2000000, "restarts": 2000,
            "initial_share": 1.5, "loss": "dlr", "schedule": "never"}"#;
        assert_eq!(
            faults(square),
            [
                "attack.loss: unknown variant `dlr`, expected `margin` or `ce`",
                "attack.schedule: unknown variant `never`, expected `fixed` or `rescaled`",
                "attack.queries: must be 1 to 1000000",
                "attack.restarts: must be 1 to 1000",
                "attack.initial_share: must be above 0 and at most 1",
            ]
        );
        let fab = r#"{"kind": "fab", "threat": {"norm": "l1", "epsilon": -1}, "iterations": 20000, "targets": 2000}"#;
        assert_eq!(
            faults(fab),
            [
                "attack.threat.epsilon: must be 0 to 200000",
                "attack.iterations: must be 1 to 10000",
                "attack.targets: must be 1 to 1000",
            ]
        );
        let carlini_wagner = r#"{"kind": "carlini-wagner", "threat": {"norm": "linf", "epsilon": "1/255"}, "iterations": 200000,
            "search_steps": 101, "learning_rate": 0, "initial_constant": -1, "confidence": -0.5}"#;
        assert_eq!(
            faults(carlini_wagner),
            [
                "attack.threat.norm: must be l2",
                "attack.iterations: must be 1 to 100000",
                "attack.search_steps: must be 1 to 100",
                "attack.learning_rate: must be above 0 and at most 10",
                "attack.initial_constant: must be above 0 and at most 1e10",
                "attack.confidence: must be 0 to 1000",
            ]
        );
    }
}
