//! `train_*.json` of the methods whose steps are told one by one: free adversarial training, distillation, TRADES.

use std::{num::NonZeroU32, sync::Arc};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use rrm_attacks::{Ball, Form, Pgd};
use rrm_spec::{
    DistillationForm, Mode, Norm, Normalization, Perturbation, PgdSelection, PgdStart, PgdTarget, ThreatModel,
};
use rrm_train::{
    Step,
    step::{FreeAdversarialTraining, KnowledgeDistillation, RobustDistillation, SoftTargets, Trades},
};

use crate::{
    compare::{Report, number_after},
    folder::Folder,
    micro_run::{compare, state},
    models::normalization_in,
    traced::{Log, Perturbation as Change, StartKind, Starts, Traced},
    training::{BATCH, Recipe},
};

/// Replays of each batch of `train_free.json`, and the images of its batches.
const REPLAYS: usize = 8;
const FREE_BATCHES: [usize; 3] = [BATCH, BATCH, 5];

/// `train_free.json`: the change is carried from batch to batch, and the step is the whole radius.
pub(crate) fn compare_free(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let recipe = Recipe::triangular(run, normalization_in(run.code_of("free/fast")?)?)?;
        ensure!(recipe.steps == REPLAYS * FREE_BATCHES.len(), "{} steps", recipe.steps);
        let mut student = recipe.student(run, run.net_after("free_at_")?, None)?;
        let epsilon = "8/255".parse().context("a distance")?;
        let threat = ThreatModel { norm: Norm::Linf, epsilon };
        // One replay at a time, so that each can be looked at: eight of them in one step are the same.
        let mut step = FreeAdversarialTraining::new(threat, 8.0 / 255.0, NonZeroU32::MIN, Perturbation::Carried);
        let (mut losses, changes) = (Vec::new(), Log::default());
        for (i, size) in FREE_BATCHES.into_iter().enumerate() {
            let batch = run.batch("free", i, size)?;
            for _ in 0..REPLAYS {
                losses.push(step.step(&mut student, &batch)?.loss_sum);
                changes.lock().expect("no step panics").push(change_of(&step, size)?);
            }
        }
        run.compare_losses("losses", &losses, report)?;
        run.compare_deltas(&changes, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_kd.json`: the released form, on networks that divide their logits by the temperature themselves.
pub(crate) fn compare_distillation(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let (nets, soft_targets) = distilled(run.net_after("kd_")?, DistillationForm::Released)?;
        let (teacher, student) = nets.split_once("_to_").context("no `_to_`")?;
        let recipe = Recipe::cosine(run, 5e-5, 5)?;
        let temperature = soft_targets.temperature;
        let network = |generator, net| run.network_at(temperature, generator, net, Normalization::Cifar10Madry);
        let teacher = network(run.folder.teacher_generator(), teacher)?;
        let teacher_before = state(&teacher)?;
        let mut student = recipe.student_of(network(run.folder.generator(), student)?, None)?;
        let mut step = KnowledgeDistillation::new(&teacher, soft_targets);
        let losses = run.train(&mut student, &mut step, "kd", &vec![BATCH; recipe.steps])?;
        run.compare_losses("total", &losses, report)?;
        run.compare_terms((1.0 - soft_targets.alpha, soft_targets.alpha * temperature * temperature), report)?;
        report.same(&format!("{}: the teacher is unchanged", run.name), &(state(&teacher)? == teacher_before), &true);
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_ard.json`: attacks in train mode, both forms of the loss.
pub(crate) fn compare_robust_distillation(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let name = run.net_after("ard_")?;
        let released = name.starts_with("released");
        let form = if released { DistillationForm::Released } else { DistillationForm::Textbook };
        let (_, soft_targets) = distilled(name, form)?;
        let recipe = Recipe::cosine(run, 2e-4, 5)?;
        let network = |generator, net| run.network(generator, net, Normalization::Cifar10Madry);
        let teacher = network(run.folder.teacher_generator(), "resnet18")?;
        let mut student = recipe.student_of(network(run.folder.generator(), "vgg11")?, None)?;
        let pgd = Pgd {
            ball: Ball { norm: Norm::Linf, epsilon: 8.0 / 255.0 },
            form: Form::MadryLab,
            steps: 10,
            step_size: 2.0 / 255.0,
            start: PgdStart::Uniform,
            selection: PgdSelection::Last,
            restarts: 1,
            target: PgdTarget::Untargeted,
            passes: NonZeroU32::MIN,
        };
        let attacks = Log::default();
        let start = Starts { generator: run.folder.generator(), name: "train.ard.start", kind: StartKind::Change };
        let attack = Box::new(Traced { pgd, start, log: Arc::clone(&attacks) });
        let mut step = RobustDistillation::new(&teacher, soft_targets, attack, Mode::Train, 0);
        let losses = run.train(&mut student, &mut step, "ard", &[BATCH; 3])?;
        run.compare_losses("total", &losses, report)?;
        run.compare_deltas(&attacks, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// `train_trades.json`.
pub(crate) fn compare_trades(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let beta = number_after(run.code_of("trades")?, "beta")?;
        let recipe = Recipe::cosine(run, 5e-4, 5)?;
        let mut student = recipe.student(run, run.net_after("trades_")?, None)?;
        let threat = ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().context("a distance")? };
        let mut step = Trades::new(beta, &threat, 10, 2.0 / 255.0, 0);
        let (mut losses, changes) = (Vec::new(), Log::default());
        for i in 0..run.numbers("total")?.len() {
            let batch = run.batch("trades", i, BATCH)?;
            let noise = run.folder.generator().sym(&format!("train.trades.start{i}"), batch.pixels.elem_count());
            let noise: Vec<f32> = noise.iter().map(|sym| (1e-3 * sym) as f32).collect();
            let noise = Tensor::from_vec(noise, batch.pixels.shape(), &Device::Cpu)?.to_dtype(batch.pixels.dtype())?;
            let start = (&batch.pixels + noise)?.clamp(0.0, 1.0)?;
            let images = step.perturb(&student, &batch, start.clone())?;
            losses.push(step.step_from(&mut student, &batch, start)?.loss_sum);
            let lowest = vec![f64::INFINITY; BATCH];
            let change = Change { natural: batch.pixels.clone(), images, losses: Vec::new(), lowest };
            changes.lock().expect("no step panics").push(change);
        }
        run.compare_losses("total", &losses, report)?;
        run.compare_terms((1.0, beta), report)?;
        run.compare_deltas(&changes, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, report)
    })
}

/// What comes before the parameters in a name such as `vgg11_to_resnet18_T4_a05`, and these.
fn distilled(name: &str, form: DistillationForm) -> Result<(&str, SoftTargets)> {
    let (nets, parameters) = name.split_once("_T").with_context(|| format!("`{name}` has no temperature"))?;
    let (temperature, alpha) = parameters.split_once("_a").with_context(|| format!("`{name}` has no alpha"))?;
    // 05 is 0.5.
    let alpha = match alpha.strip_prefix('0') {
        Some(digits) => format!("0.{digits}").parse()?,
        None => alpha.parse()?,
    };
    Ok((nets, SoftTargets { temperature: temperature.parse()?, alpha, form }))
}

/// The change of the batch's rows, as one of black images.
fn change_of(step: &FreeAdversarialTraining, rows: usize) -> Result<Change> {
    let change = step.change().context("no change")?.narrow(0, 0, rows)?;
    Ok(Change { natural: change.zeros_like()?, images: change, losses: Vec::new(), lowest: vec![f64::INFINITY; rows] })
}
