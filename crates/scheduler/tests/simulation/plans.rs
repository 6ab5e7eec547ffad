//! Plans that are submitted: one job, a chain, or a fork, on any device.

use rrm_spec::Plan;

use crate::dice::Dice;

const HEAD: &str = r#"
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 100 }
    arch = "dnn/16"
    batch_size = 50
    seed = 7
    optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
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
    name = "attack"
    kind = "evaluate"
    model = { job = "teacher" }
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5 }
    batch_size = 50
    seed = 1
"#;

pub(crate) fn plan(name: &str, dice: &mut Dice) -> Plan {
    let mut toml = format!("name = \"{name}\"\n{HEAD}    epochs = {}\n", 1 + dice.below(3));
    for student in 0..dice.below(3) {
        toml += &STUDENT.replace("NAME", &format!("student-{student}"));
        toml += &format!("    epochs = {}\n", 1 + dice.below(3));
    }
    if dice.percent(40) {
        toml += EVALUATION;
    }
    Plan::from_toml(&toml).unwrap_or_else(|faults| panic!("{faults}"))
}
