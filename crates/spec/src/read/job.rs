//! Which fields each part of a job has, and what stands in for a faulty one.

use std::{num::NonZeroU32, path::PathBuf};

use super::fields::{Fields, Reading};
use crate::{
    ApgdSpec, Arch, AttackSpec, Dataset, DatasetName, Epsilon, EvaluateSpec, Family, JobRef, JobSpec, Method, Mode,
    ModelSource, Norm, OptimizerSpec, PgdSelection, PgdSpec, PgdStart, RepresentationLoss, Schedule, ThreatModel,
    TrainSpec, Validation,
};

/// Valid wherever a whole number is wanted.
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// As many as allowed, so that no milestone of the schedule lies behind them.
const EPOCHS: NonZeroU32 = NonZeroU32::new(10_000).expect("not zero");

impl DatasetName {
    /// Stands for a name that could not be read: no limit and no other dataset contradicts it.
    const UNREAD: Self = Self::Folder(String::new());

    /// Whether the name could not be read, and was named as a fault.
    pub(crate) fn is_unread(&self) -> bool {
        *self == Self::UNREAD
    }
}

pub(super) fn job(fields: &mut Fields<'_>) -> JobSpec {
    fields.tagged(&[("train", train as Reading<JobSpec>), ("evaluate", evaluate)])
}

fn train(fields: &mut Fields<'_>) -> JobSpec {
    let dataset = fields.table("dataset", dataset);
    JobSpec::Train(TrainSpec {
        augmentation: fields.optional("augmentation").unwrap_or_else(|| dataset.name.augmentation()),
        dataset,
        normalization: fields.optional("normalization"),
        arch: fields.required("arch", Arch::new(Family::Dnn, 1).expect("1 is a divisor")),
        method: fields.table("method", method),
        optimizer: fields.table("optimizer", optimizer),
        epochs: fields.required("epochs", EPOCHS),
        batch_size: fields.required("batch_size", ONE),
        precision: fields.optional("precision").unwrap_or_default(),
        seed: fields.required("seed", 0),
        validation: fields.optional_table("validation", validation).unwrap_or_default(),
    })
}

fn evaluate(fields: &mut Fields<'_>) -> JobSpec {
    JobSpec::Evaluate(EvaluateSpec {
        model: fields.table("model", source),
        dataset: fields.table("dataset", dataset),
        images: fields.optional("images"),
        attack: fields.table("attack", attack),
        batch_size: fields.required("batch_size", ONE),
        seed: fields.required("seed", 0),
    })
}

fn dataset(fields: &mut Fields<'_>) -> Dataset {
    Dataset { name: fields.required("name", DatasetName::UNREAD), train_images: fields.optional("train_images") }
}

fn validation(fields: &mut Fields<'_>) -> Validation {
    Validation { images: fields.optional("images"), attack: fields.optional_table("attack", attack) }
}

fn source(fields: &mut Fields<'_>) -> ModelSource {
    let (has_job, has_file) = (fields.has("job"), fields.has("checkpoint"));
    if has_job == has_file {
        fields.fault("job", String::new(), "either a job or a checkpoint must be named");
    }
    let job: Option<JobRef> = fields.optional("job");
    let file: Option<PathBuf> = fields.optional("checkpoint");
    job.map(ModelSource::Job).or(file.map(ModelSource::Checkpoint)).unwrap_or(ModelSource::Checkpoint(PathBuf::new()))
}

fn method(fields: &mut Fields<'_>) -> Method {
    let natural: Reading<Method> = |_| Method::Natural;
    fields.tagged(&[("natural", natural), ("adversarial-training", adversarial_training), ("rrm", rrm)])
}

fn adversarial_training(fields: &mut Fields<'_>) -> Method {
    Method::AdversarialTraining {
        attack: fields.table("attack", attack),
        attack_mode: fields.required("attack_mode", Mode::Eval),
    }
}

fn rrm(fields: &mut Fields<'_>) -> Method {
    Method::Rrm {
        teacher: fields.table("teacher", source),
        representation_loss: fields.required("representation_loss", RepresentationLoss::Cosine),
        lambda: fields.required("lambda", 0.0),
        replays: fields.optional("replays").unwrap_or(ONE),
    }
}

fn attack(fields: &mut Fields<'_>) -> AttackSpec {
    fields.tagged(&[("pgd", pgd as Reading<AttackSpec>), ("apgd", apgd)])
}

fn pgd(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Pgd(PgdSpec {
        threat: fields.table("threat", threat),
        steps: fields.required("steps", ONE),
        step_size: fields.required("step_size", Epsilon::from(1.0)),
        start: fields.required("start", PgdStart::Natural),
        selection: fields.required("selection", PgdSelection::Last),
        restarts: fields.optional("restarts").unwrap_or(ONE),
    })
}

fn apgd(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Apgd(ApgdSpec {
        threat: fields.table("threat", threat),
        iterations: fields.required("iterations", ONE),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        loss: fields.optional("loss").unwrap_or_default(),
    })
}

fn threat(fields: &mut Fields<'_>) -> ThreatModel {
    // With l2 as the stand-in an epsilon above 1 is not blamed for a norm that could not be read.
    ThreatModel { norm: fields.required("norm", Norm::L2), epsilon: fields.required("epsilon", Epsilon::from(0.0)) }
}

fn optimizer(fields: &mut Fields<'_>) -> OptimizerSpec {
    OptimizerSpec {
        learning_rate: fields.required("learning_rate", 1.0),
        momentum: fields.optional("momentum").unwrap_or_else(OptimizerSpec::default_momentum),
        weight_decay: fields.optional("weight_decay").unwrap_or_default(),
        schedule: fields.table("schedule", schedule),
    }
}

fn schedule(fields: &mut Fields<'_>) -> Schedule {
    fields.tagged(&[
        ("constant", (|_| Schedule::Constant) as Reading<Schedule>),
        ("step", step),
        ("cosine", |_| Schedule::Cosine),
        ("triangular", |fields| Schedule::Triangular { peak_momentum: fields.optional("peak_momentum") }),
    ])
}

fn step(fields: &mut Fields<'_>) -> Schedule {
    Schedule::Step { milestones: fields.required("milestones", Vec::new()), factor: fields.required("factor", 1.0) }
}
