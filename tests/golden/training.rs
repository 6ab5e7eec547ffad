//! `train_*.json`: micro training runs, step by step, through the training crate's own steps.

use std::{num::NonZeroU32, sync::Arc};

use anyhow::{Context, Result, ensure};
use rrm_attacks::{Ball, Form, Pgd};
use rrm_models::Network;
use rrm_spec::{
    Mode, Norm, Normalization, OptimizerSpec, PgdSelection, PgdStart, PgdTarget, RepresentationLoss, Schedule,
};
use rrm_train::{
    Student, Timetable,
    step::{AdversarialTraining, Natural, Rrm},
};

use crate::{
    compare::{Report, number_after},
    folder::Folder,
    micro_run::{Run, compare, state},
    models::{normalization, normalization_in},
    traced::{Log, StartKind, Starts, Traced},
};

/// Images of a batch; the last one of natural training has fewer.
pub(crate) const BATCH: usize = 8;
const LAST_NATURAL_BATCH: usize = 5;

/// `train_natural.json`.
pub(crate) fn compare_natural(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let text = run.code_of("natural/rrm")?;
        let recipe = Recipe { weight_decay: number_after(text, "natural")?, ..Recipe::by_cosine(run, text)? };
        let mut student = recipe.student(run, run.net_after("natural_")?, None)?;
        let steps = run.numbers("total")?.len();
        let sizes: Vec<usize> = (0..steps).map(|i| if i + 1 < steps { BATCH } else { LAST_NATURAL_BATCH }).collect();
        let losses = run.train(&mut student, &mut Natural, "nat", &sizes)?;
        run.compare_losses("total", &losses, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_rrm.json`.
pub(crate) fn compare_rrm(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let text = run.code_of("natural/rrm")?;
        let (teacher_net, student_net) = run.net_after("rrm_")?.split_once("_to_").context("no `_to_`")?;
        let cosine = teacher_net.strip_prefix("cosine_");
        let (loss, teacher_net, tag) = match cosine.or(teacher_net.strip_prefix("rel_l2_")) {
            Some(net) if cosine.is_some() => (RepresentationLoss::Cosine, net, "rrm"),
            Some(net) => (RepresentationLoss::RelativeL2, net, "rrml2"),
            None => anyhow::bail!("an unknown representation loss"),
        };
        let lambda = lambdas(text, loss)?;
        let recipe = Recipe::by_cosine(run, text)?;
        let teacher = run.network(run.folder.teacher_generator(), teacher_net, recipe.normalization)?;
        let teacher_before = state(&teacher)?;
        let mut student = recipe.student(run, student_net, Some(&teacher))?;
        let mut step = Rrm::new(&teacher, loss, lambda, NonZeroU32::MIN);
        let totals = run.numbers("total")?;
        let losses = run.train(&mut student, &mut step, tag, &vec![BATCH; totals.len()])?;
        // The authors maximise the mean cosine; our loss is 1 minus it.
        let shift = if loss == RepresentationLoss::Cosine { 1.0 } else { 0.0 };
        let losses: Vec<f64> = losses.iter().map(|loss| loss - shift).collect();
        run.compare_losses("total", &losses, report)?;
        let weight = if loss == RepresentationLoss::Cosine { -1.0 } else { 1.0 };
        run.compare_terms((lambda, weight), report)?;
        report.same(&format!("{}: the teacher is unchanged", run.name), &(state(&teacher)? == teacher_before), &true);
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_sat.json`: attacks in eval mode, best of trajectory.
pub(crate) fn compare_sat(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let number = |key: &str| run.told[key].as_f64().with_context(|| format!("no {key}"));
        let recipe = Recipe {
            schedule: Schedule::Constant,
            learning_rate: number("lr")?,
            momentum: 0.9,
            weight_decay: number("weight_decay")?,
            normalization: normalization(&run.told["normaliser"])?,
            steps: run.numbers("losses")?.len(),
        };
        let by_sign = run.told["constraint"].as_str() == Some("inf");
        let pgd = Pgd {
            ball: Ball { norm: if by_sign { Norm::Linf } else { Norm::L2 }, epsilon: number("eps")? },
            form: Form::MadryLab,
            steps: 7,
            step_size: number("step")?,
            start: if by_sign { PgdStart::Uniform } else { PgdStart::Sphere },
            selection: PgdSelection::BestLoss,
            restarts: 1,
            target: PgdTarget::Untargeted,
            passes: NonZeroU32::MIN,
        };
        let net = run.net_after("sat_")?;
        let (net, _) = net.rsplit_once('_').context("no constraint in the name")?;
        let mut student = recipe.student(run, net, None)?;
        let attacks = Log::default();
        let start = Starts { generator: run.folder.generator(), name: "train.sat.r", kind: StartKind::Random };
        let attack = Traced { pgd, start, log: Arc::clone(&attacks) };
        let mut step = AdversarialTraining::new(Box::new(attack), Mode::Eval, 0);
        let losses = run.train(&mut student, &mut step, "sat", &vec![BATCH; recipe.steps])?;
        run.compare_losses("losses", &losses, report)?;
        run.compare_perturbations(&attacks, pgd.ball, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_fast.json`: attacks in train mode, last iterate, triangular schedule with the momentum cycle.
pub(crate) fn compare_fast(folder: &Folder, file: &str) -> Result<Report> {
    let what = InTrainMode { name: "fast_at_", tag: "fast", start: "train.fast.start", step_size: 2.0 / 255.0 };
    compare_in_train_mode(folder, file, what)
}

/// `train_fgsm.json`: the same with one step, by a quarter longer than the radius (Wong et al. 2020).
pub(crate) fn compare_fgsm(folder: &Folder, file: &str) -> Result<Report> {
    let what = InTrainMode { name: "fgsm_at_", tag: "fgsm", start: "train.fgsm.start", step_size: 10.0 / 255.0 };
    compare_in_train_mode(folder, file, what)
}

/// What tells the runs attacked in train mode apart.
#[derive(Clone, Copy)]
struct InTrainMode {
    name: &'static str,
    tag: &'static str,
    start: &'static str,
    step_size: f64,
}

fn compare_in_train_mode(folder: &Folder, file: &str, what: InTrainMode) -> Result<Report> {
    compare(folder, file, |run, report| {
        let recipe = Recipe::triangular(run, normalization_in(run.code_of("free/fast")?)?)?;
        let expected = run.numbers("losses")?;
        let pgd = Pgd {
            ball: Ball { norm: Norm::Linf, epsilon: 8.0 / 255.0 },
            form: Form::MadryLab,
            steps: (expected.len() / recipe.steps - 1) as u32,
            step_size: what.step_size,
            start: PgdStart::Uniform,
            selection: PgdSelection::Last,
            restarts: 1,
            target: PgdTarget::Untargeted,
            passes: NonZeroU32::MIN,
        };
        let mut student = recipe.student(run, run.net_after(what.name)?, None)?;
        let attacks = Log::default();
        let start = Starts { generator: run.folder.generator(), name: what.start, kind: StartKind::Change };
        let attack = Traced { pgd, start, log: Arc::clone(&attacks) };
        let mut step = AdversarialTraining::new(Box::new(attack), Mode::Train, 0);
        let trained = run.train(&mut student, &mut step, what.tag, &vec![BATCH; recipe.steps])?;
        let log = attacks.lock().expect("no attack panics");
        let losses: Vec<f64> =
            log.iter().zip(&trained).flat_map(|(attack, &last)| attack.losses.iter().copied().chain([last])).collect();
        drop(log);
        run.compare_losses("losses", &losses, report)?;
        run.compare_deltas(&attacks, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// λ of each loss, from words such as `xent weight 5e-3 cosine, 1e-3 l2`.
fn lambdas(text: &str, loss: RepresentationLoss) -> Result<f64> {
    let (_, words) = text.split_once("xent weight").with_context(|| format!("`{text}` has no xent weight"))?;
    let (cosine, relative) =
        words.split_once("cosine,").with_context(|| format!("`{text}` has no weight for cosine"))?;
    number_after(if loss == RepresentationLoss::Cosine { cosine } else { relative }, "")
}

/// How the student descends.
pub(crate) struct Recipe {
    pub(crate) schedule: Schedule,
    pub(crate) learning_rate: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
    pub(crate) normalization: Normalization,
    pub(crate) steps: usize,
}

impl Recipe {
    /// Natural training and RRM: the cosine schedule from the first rate told.
    fn by_cosine(run: &Run<'_>, text: &str) -> Result<Self> {
        let rates = run.numbers("lr")?;
        Ok(Self {
            schedule: Schedule::Cosine,
            learning_rate: *rates.first().context("no rates")?,
            momentum: number_after(text, "momentum")?,
            weight_decay: number_after(text, "weight decay")?,
            normalization: normalization_in(text)?,
            steps: rates.len(),
        })
    }

    /// The first steps of a cosine of `steps`, with MadryLab's constants.
    pub(crate) fn cosine(run: &Run<'_>, weight_decay: f64, steps: usize) -> Result<Self> {
        let rates = run.numbers("lr")?;
        Ok(Self {
            schedule: Schedule::Cosine,
            learning_rate: *rates.first().context("no rates")?,
            momentum: 0.9,
            weight_decay,
            normalization: Normalization::Cifar10Madry,
            steps,
        })
    }

    /// Fast and free adversarial training: the triangle whose rates and momenta are told, with the momentum cycle.
    pub(crate) fn triangular(run: &Run<'_>, normalization: Normalization) -> Result<Self> {
        let (rates, momenta) = (run.numbers("lr")?, run.numbers("momentum")?);
        let peak = |numbers: &[f64], better: fn(f64, f64) -> f64| numbers.iter().copied().reduce(better);
        Ok(Self {
            schedule: Schedule::Triangular { peak_momentum: peak(&momenta, f64::min) },
            learning_rate: peak(&rates, f64::max).context("no rates")?,
            momentum: peak(&momenta, f64::max).context("no momentum")?,
            weight_decay: 5e-4, // The authors' scripts' default (digest §2.2).
            normalization,
            steps: rates.len(),
        })
    }

    pub(crate) fn student(&self, run: &Run<'_>, net: &str, teacher: Option<&Network>) -> Result<Student> {
        let network = run.network(run.folder.generator(), net, self.normalization)?;
        self.student_of(network, teacher)
    }

    /// The same of a network that is given.
    pub(crate) fn student_of(&self, network: Network, teacher: Option<&Network>) -> Result<Student> {
        if let Some(teacher) = teacher {
            let width = |network: &Network| network.spec().representation_width;
            ensure!(width(teacher) == width(&network), "the student needs an adapter");
        }
        let optimizer = OptimizerSpec {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            schedule: self.schedule.clone(),
        };
        Ok(Student::new(network, Timetable::new(&optimizer, 1, self.steps as u64))?)
    }
}
