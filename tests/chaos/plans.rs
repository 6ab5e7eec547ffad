//! Plans: for the real trainers small enough for a second, for the simulated ones of the same form.

use rrm_spec::Plan;

use crate::dice::Dice;

const DEFAULTS: &str = r#"
    [defaults.train]
    dataset = { name = "folder:bars" }
    augmentation = "none"
    arch = "dnn/8"
    batch_size = 36
    seed = 1
    optimizer = { learning_rate = 0.05, schedule = { kind = "constant" } }
"#;

const TEACHER: &str = r#"
    [[job]]
    name = "teacher"
    kind = "train"
    method = { kind = "natural" }
"#;

const STUDENT: &str = r#"
    [[job]]
    name = "NAME"
    kind = "train"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }
"#;

const EVALUATION: &str = r#"
    [[job]]
    name = "evaluation"
    kind = "evaluate"
    model = { job = "teacher" }
    dataset = { name = "folder:bars" }
    attack = { kind = "fgsm", threat = { norm = "linf", epsilon = "8/255" } }
    batch_size = 24
    seed = 0
"#;

/// For real trainers on a processor (`cpu`), or for simulated ones on a CUDA device that is none (`cuda`).
pub(crate) fn plan(name: &str, device: &str, dice: &mut Dice) -> Plan {
    let own = |dice: &mut Dice| format!("    epochs = {}\n    device = \"{device}\"\n", 1 + dice.below(3));
    let mut toml = format!("name = \"{name}\"\n{DEFAULTS}{TEACHER}{}", own(dice));
    for student in 0..dice.below(3) {
        toml += &STUDENT.replace("NAME", &format!("student-{student}"));
        toml += &own(dice);
    }
    if dice.percent(40) {
        toml += EVALUATION;
        toml += &format!("    device = \"{device}\"\n");
    }
    Plan::from_toml(&toml).unwrap_or_else(|faults| panic!("{faults}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_that_can_be_drawn_is_one() {
        let mut dice = Dice::new(1);
        let sizes: std::collections::BTreeSet<usize> =
            (0..40).map(|_| plan("p", "cpu", &mut dice).jobs.len()).collect();
        assert_eq!(sizes, (1..=4).collect());
    }
}
