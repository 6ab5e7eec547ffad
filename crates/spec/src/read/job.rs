//! Which fields each part of a job has, and what stands in for a faulty one.

use std::{num::NonZeroU32, path::PathBuf};

use super::{
    attack::{adaptive, apgd_dialect, autoattack, fgsm},
    fields::{Fields, Reading},
    search_attack::{carlini_wagner, fab, square},
};
use crate::{
    ApgdLoss, ApgdSpec, Arch, AttackSpec, Dataset, DatasetName, Epsilon, EvaluateSpec, Family, ImagesSource, JobRef,
    JobSpec, Method, Mode, ModelSource, Norm, OptimizerSpec, PgdSelection, PgdSpec, PgdStart, RepresentationLoss,
    Schedule, SynthesizeSpec, ThreatModel, TrainSpec, Validation,
};

/// Valid wherever a whole number is wanted.
pub(super) const ONE: NonZeroU32 = NonZeroU32::MIN;

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
    fields.tagged(&[("train", train as Reading<JobSpec>), ("evaluate", evaluate), ("synthesize", synthesize)])
}

fn train(fields: &mut Fields<'_>) -> JobSpec {
    let dataset = fields.table("dataset", dataset);
    JobSpec::Train(TrainSpec {
        training_set: fields.optional_table("training_set", images_source),
        augmentation: fields.optional("augmentation").unwrap_or_else(|| dataset.name.augmentation()),
        dataset,
        normalization: fields.optional("normalization"),
        arch: fields.required("arch", Arch::new(Family::Dnn, 1).expect("1 is a divisor")),
        representation_width: fields.optional("representation_width"),
        initial: fields.optional_table("initial", source),
        temperature: fields.optional("temperature").unwrap_or(1.0),
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
        epsilons: fields.optional("epsilons").unwrap_or_default(),
        teacher: fields.optional_table("teacher", source),
        temperature: fields.optional("temperature"),
        diagnostics: fields.optional("diagnostics"),
        batch_size: fields.required("batch_size", ONE),
        seed: fields.required("seed", 0),
        keep_images: fields.optional("keep_images").unwrap_or_default(),
    })
}

fn synthesize(fields: &mut Fields<'_>) -> JobSpec {
    JobSpec::Synthesize(SynthesizeSpec {
        model: fields.table("model", source),
        dataset: fields.table("dataset", dataset),
        steps: fields.required("steps", ONE),
        step_size: fields.required("step_size", Epsilon::from(1.0)),
        parts: fields.optional("parts").unwrap_or_else(SynthesizeSpec::default_parts),
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
    let named = ["job", "checkpoint", "artifact"].into_iter().filter(|field| fields.has(field)).count();
    if named != 1 {
        fields.fault("job", String::new(), "either a job, a checkpoint or an artifact must be named");
    }
    let job = fields.optional("job").map(ModelSource::Job);
    let file = fields.optional("checkpoint").map(ModelSource::Checkpoint);
    let artifact = fields.optional("artifact").map(ModelSource::Artifact);
    job.or(file).or(artifact).unwrap_or(ModelSource::Checkpoint(PathBuf::new()))
}

fn images_source(fields: &mut Fields<'_>) -> ImagesSource {
    let (has_job, has_file) = (fields.has("job"), fields.has("file"));
    if has_job == has_file {
        fields.fault("job", String::new(), "either a job or a file must be named");
    }
    let job: Option<JobRef> = fields.optional("job");
    let file: Option<PathBuf> = fields.optional("file");
    job.map(ImagesSource::Job).or(file.map(ImagesSource::File)).unwrap_or(ImagesSource::File(PathBuf::new()))
}

fn method(fields: &mut Fields<'_>) -> Method {
    let natural: Reading<Method> = |_| Method::Natural;
    fields.tagged(&[
        ("natural", natural),
        ("adversarial-training", adversarial_training),
        ("free-adversarial-training", free_adversarial_training),
        ("rrm", rrm),
        ("knowledge-distillation", knowledge_distillation),
        ("adversarially-robust-distillation", robust_distillation),
        ("trades", trades),
    ])
}

fn adversarial_training(fields: &mut Fields<'_>) -> Method {
    Method::AdversarialTraining {
        attack: fields.table("attack", attack),
        attack_mode: fields.required("attack_mode", Mode::Eval),
    }
}

fn free_adversarial_training(fields: &mut Fields<'_>) -> Method {
    Method::FreeAdversarialTraining {
        threat: fields.table("threat", threat),
        step_size: fields.required("step_size", Epsilon::from(1.0)),
        replays: fields.required("replays", ONE),
        perturbation: fields.optional("perturbation").unwrap_or_default(),
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

fn knowledge_distillation(fields: &mut Fields<'_>) -> Method {
    Method::KnowledgeDistillation {
        teacher: fields.table("teacher", source),
        temperature: fields.required("temperature", 1.0),
        alpha: fields.required("alpha", 1.0),
        form: fields.optional("form").unwrap_or_default(),
    }
}

fn robust_distillation(fields: &mut Fields<'_>) -> Method {
    Method::AdversariallyRobustDistillation {
        teacher: fields.table("teacher", source),
        attack: fields.table("attack", attack),
        attack_mode: fields.required("attack_mode", Mode::Eval),
        temperature: fields.required("temperature", 1.0),
        alpha: fields.required("alpha", 1.0),
        form: fields.optional("form").unwrap_or_default(),
    }
}

fn trades(fields: &mut Fields<'_>) -> Method {
    Method::Trades {
        threat: fields.table("threat", threat),
        steps: fields.required("steps", ONE),
        step_size: fields.required("step_size", Epsilon::from(1.0)),
        beta: fields.required("beta", 1.0),
    }
}

fn attack(fields: &mut Fields<'_>) -> AttackSpec {
    fields.tagged(&[
        ("fgsm", fgsm as Reading<AttackSpec>),
        ("pgd", pgd),
        ("apgd", apgd),
        ("square", square),
        ("fab", fab),
        ("carlini-wagner", carlini_wagner),
        ("autoattack", autoattack),
        ("adaptive", adaptive),
    ])
}

fn pgd(fields: &mut Fields<'_>) -> AttackSpec {
    AttackSpec::Pgd(PgdSpec {
        threat: fields.table("threat", threat),
        steps: fields.required("steps", ONE),
        step_size: fields.required("step_size", Epsilon::from(1.0)),
        start: fields.required("start", PgdStart::Natural),
        selection: fields.required("selection", PgdSelection::Last),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        target: fields.optional("target").unwrap_or_default(),
        eot: fields.optional("eot").unwrap_or(ONE),
        dialect: fields.optional("dialect").unwrap_or_default(),
    })
}

fn apgd(fields: &mut Fields<'_>) -> AttackSpec {
    // A loss that could not be read is one that goes with the targets; so is that of an attack whose kind could not be read.
    let is_targeted = fields.has("targets") && (fields.has("loss") || fields.is_guessed());
    let stand_in = if is_targeted { ApgdLoss::TargetedDlr } else { ApgdLoss::default() };
    AttackSpec::Apgd(ApgdSpec {
        threat: fields.table("threat", threat),
        iterations: fields.required("iterations", ONE),
        restarts: fields.optional("restarts").unwrap_or(ONE),
        loss: fields.optional("loss").unwrap_or(stand_in),
        targets: fields.optional("targets"),
        eot: fields.optional("eot").unwrap_or(ONE),
        dialect: fields.optional_table("dialect", apgd_dialect).unwrap_or_default(),
    })
}

pub(super) fn threat(fields: &mut Fields<'_>) -> ThreatModel {
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
