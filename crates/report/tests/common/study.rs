//! A small study: SAT, free adversarial training and RRM of one network, each with three seeds.

#![allow(dead_code, reason = "each test target uses its own part")]

use rrm_recipes::Layout;
use rrm_spec::{ImageOutcome, JobDetail, Outcome};

use super::{evaluate, job, planned, train};

const PLAN: &str = r#"
    name = "cpu/demo"
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 10000 }
    batch_size = 128
    seed = 0
    arch = "resnet18/4"
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    [defaults.evaluate]
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = 0.1 }, iterations = 50, restarts = 10 }
    batch_size = 100
    seed = 0

    [[job]]
    name = "sat"
    kind = "train"
    epochs = 4
    [job.method]
    kind = "adversarial-training"
    attack_mode = "eval"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 7, step_size = 0.025, start = "uniform", selection = "last" }
    [job.sweep]
    seed = [0, 1, 2]

    [[job]]
    name = "free"
    kind = "train"
    epochs = 2
    method = { kind = "free-adversarial-training", threat = { norm = "linf", epsilon = 0.1 }, step_size = 0.1, replays = 4 }
    [job.sweep]
    seed = [0, 1, 2]

    [[job]]
    name = "teacher"
    kind = "train"
    arch = "dnn/2"
    epochs = 2
    [job.method]
    kind = "adversarial-training"
    attack_mode = "train"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 7, step_size = 0.025, start = "uniform", selection = "last" }
    [job.sweep]
    seed = [0, 1, 2]

    [[job]]
    name = "rrm"
    kind = "train"
    epochs = 3
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }

    [[job]]
    name = "attack sat"
    kind = "evaluate"
    model = { job = "sat" }

    [[job]]
    name = "attack free"
    kind = "evaluate"
    model = { job = "free" }

    [[job]]
    name = "attack rrm"
    kind = "evaluate"
    model = { job = "rrm" }
"#;

const LAYOUT: &str = r#"
    [table]
    title = "One network made robust in different ways"
    columns = ["epochs", "epoch-time", "training-time", "natural", "robust"]

    [[table.rows]]
    label = "SAT"
    job = "sat"
    paper = { epochs = 150, epoch_s = 723.03, epoch_half_width_s = 0.88, training_min = 1807.58, natural = 85.50, robust = 48.38 }

    [[table.rows]]
    label = "Free AT"
    job = "free"
    paper = { epochs = 96, epoch_s = 36.58, epoch_half_width_s = 0.23, training_min = 58.44, natural = 77.74, robust = 45.20 }

    [[table.rows]]
    label = "RRM (DNN)"
    job = "rrm"
    paper = { training_min = 30.22, with_teacher_min = 57.91 }

    [[table.rows]]
    label = "not run"
    job = "absent"
    paper = { natural = 71.28 }
"#;

/// The study's jobs, still waiting.
pub(crate) fn waiting() -> Vec<JobDetail> {
    planned(PLAN)
}

/// The study's jobs, complete: all on one node, seed by seed a little slower and better.
pub(crate) fn complete() -> Vec<JobDetail> {
    let mut jobs = waiting();
    for seed in 0..3 {
        let name = |base: &str| format!("{base}[seed={seed}]");
        train(&mut jobs, &name("sat"), "node1", &[100, 90 + seed, 90 + seed, 90 + seed]);
        train(&mut jobs, &name("free"), "node1", &[40, 36 + 4 * seed]);
        train(&mut jobs, &name("teacher"), "node1", &[12, 10]);
        train(&mut jobs, &name("rrm"), "node1", &[6, 5, 5 + seed]);
        evaluate(&mut jobs, &name("attack sat"), 8000 + 50 * seed, 5000 + 10 * seed);
        evaluate(&mut jobs, &name("attack free"), 7000 + 50 * seed, 4500 + 10 * seed);
        evaluate(&mut jobs, &name("attack rrm"), 7600 + 60 * seed, 4900 + 20 * seed);
    }
    jobs
}

/// The layout of the study's report.
pub(crate) fn layout() -> rrm_recipes::TableLayout {
    match toml::from_str(LAYOUT) {
        Ok(Layout::Table(layout)) => layout,
        other => panic!("{other:?}"),
    }
}

/// Outcomes of 100 images with so many robust ones, the first of all; the next 10 are broken, the rest misclassified.
pub(crate) fn outcomes(robust: u32) -> Vec<ImageOutcome> {
    let outcome = |image| match image {
        image if image < robust => Outcome::Robust,
        image if image < robust + 10 => Outcome::Broken { restart: 0 },
        _ => Outcome::Misclassified,
    };
    (0..100)
        .map(|image| ImageOutcome { image, label: 0, prediction: 0, outcome: outcome(image), closest: None })
        .collect()
}

/// Has a training not run yet, nor its evaluation.
pub(crate) fn undo(jobs: &mut [JobDetail], name: &str) {
    let waiting = waiting();
    for name in [name.to_owned(), format!("attack {name}")] {
        *job(jobs, &name) = waiting.iter().find(|job| job.summary.name == name).unwrap().clone();
    }
}
