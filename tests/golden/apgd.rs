//! `apgd_<net>.safetensors`: AutoPGD, traced iteration by iteration.

use std::{collections::BTreeMap, num::NonZeroU32};

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use rrm_attacks::{
    Apgd, Ball, Victim as Attacked,
    apgd::{Iteration, SingleRun},
};
use rrm_losses::{cross_entropy, dlr, targeted_dlr};
use rrm_spec::{ApgdLoss, Mode};
use serde::Deserialize;

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{Victim, norm_named},
};

/// The longest run that is traced; longer ones do nothing that these do not.
const MOST_ITERATIONS: usize = 50;

/// In f32, what counts as most images.
const MOST: f64 = 0.75;

/// The loss that an attack maximises.
pub(crate) enum Loss {
    CrossEntropy,
    Dlr,
    /// Towards one class for each image.
    TargetedDlr(Vec<u32>),
}

impl Loss {
    /// A loss named `ce`, `dlr` or `dlr_t<rank>`: towards the class of the `rank`th highest natural logit.
    pub(crate) fn named(name: &str, victim: &Victim) -> Result<Self> {
        match name {
            "ce" => Ok(Self::CrossEntropy),
            "dlr" => Ok(Self::Dlr),
            _ => {
                let rank = name.strip_prefix("dlr_t").with_context(|| format!("unknown loss {name}"))?;
                Ok(Self::TargetedDlr(victim.ranked(rank.parse()?)))
            }
        }
    }

    pub(crate) fn of(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::CrossEntropy => cross_entropy(logits, labels),
            Self::Dlr => dlr(logits, labels),
            Self::TargetedDlr(targets) => {
                targeted_dlr(logits, labels, &Tensor::new(targets.as_slice(), logits.device())?)
            }
        }
    }
}

/// An attack of that norm and radius.
pub(crate) fn attack(victim: &Victim, norm: &str, tag: &str, iterations: usize, restarts: u32) -> Result<Apgd> {
    let ball = Ball { norm: norm_named(norm)?, epsilon: victim.epsilon(norm, tag)? };
    let (iterations, loss, passes) = (iterations as u32, ApgdLoss::Ce, NonZeroU32::MIN);
    Ok(Apgd { ball, iterations, restarts, loss, targets: None, passes })
}

/// The net of a file named like `apgd_dnn.safetensors`.
pub(crate) fn traced_net(file: &str) -> Option<&str> {
    file.strip_prefix("apgd_")?.strip_suffix(".safetensors").filter(|net| !net.contains('_'))
}

/// What the summary tells of a trace.
#[derive(Deserialize)]
struct Summary {
    eps: f64,
    robust: usize,
    first: Vec<i64>,
    last: Vec<i64>,
    halvings: Vec<f64>,
}

pub(crate) fn compare_traces(folder: &Folder, file: &str) -> Result<Report> {
    let net = traced_net(file).context("a file of traces")?;
    let entry = folder.entry(file)?;
    let tensors = folder.tensors(file)?;
    let summaries: BTreeMap<String, Summary> = folder.json(&format!("apgd_summary.{net}.json"))?;
    let names = tensors.names();
    let traces: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".stable_until")).collect();
    let is_long = |trace: &str| iterations(trace).is_ok_and(|iterations| iterations > MOST_ITERATIONS);
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let victim = Victim::load(folder, entry.parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        let tolerance = if arithmetic == Arithmetic::Double { "loss/best" } else { "best loss" };
        let tolerance = tolerance_after(&entry.tolerance, tolerance)?;
        for name in traces.iter().filter(|trace| !is_long(trace)) {
            let summary = summaries.get(&format!("{net}.{name}")).with_context(|| format!("no summary of {name}"))?;
            let stable = stable_until(&tensors, name)?;
            let trace = Trace { tensors: &tensors, victim: &victim, name, arithmetic, tolerance, summary, stable };
            arithmetic.during(|| trace.compare(&mut report))?;
        }
    }
    if traces.iter().any(|trace| is_long(trace)) {
        report.skip(format!("traces of more than {MOST_ITERATIONS} iterations: the same code for longer"));
    }
    tensors.all_but("the path is not reproducible in f32; its end is compared", &mut report, |name| {
        let of_path = [".loss.f32", ".best.f32", ".step.f32", ".x_best_", ".last_miscl.f32", ".y_target.f32"];
        is_long(name) || name.ends_with(".f32") && of_path.iter().any(|part| name.contains(part))
    })?;
    Ok(report)
}

/// N of a trace named like `L2.big.ce.N20`.
fn iterations(trace: &str) -> Result<usize> {
    let count = trace.split('.').nth(3).and_then(|part| part.strip_prefix('N'));
    Ok(count.with_context(|| format!("`{trace}` has no number of iterations"))?.parse()?)
}

/// How many iterates of each image are told by more than rounding: as many as the file says, and none after one whose DLR is 1
/// but for the loss's guard of 1e-12.
///
/// There the label is the third of the logits, and the gradient a difference of two equal terms that only the guard keeps from
/// being zero. An l2 step divides it by its length plus another 1e-12: which of two neighbouring numbers it comes to, and so
/// the step's length in its fourth digit, hangs on the last bit of the logits, in f64 and in the reference too.
fn stable_until(tensors: &Tensors, name: &str) -> Result<Vec<f64>> {
    let mut stable = tensors.numbers(&format!("{name}.stable_until"))?;
    if name.starts_with("L2") && name.contains(".dlr.") {
        let losses = tensors.numbers(&format!("{name}.loss.f64"))?;
        for (iterate, losses) in losses.chunks(stable.len()).enumerate() {
            for (stable, loss) in stable.iter_mut().zip(losses) {
                if (loss - 1.0).abs() < 1e-9 {
                    *stable = stable.min((iterate + 1) as f64);
                }
            }
        }
    }
    Ok(stable)
}

struct Trace<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    name: &'a str,
    arithmetic: Arithmetic,
    tolerance: f64,
    summary: &'a Summary,
    stable: Vec<f64>,
}

/// A followed run: numbers of each iteration and image, and the first image's iterates.
struct Followed {
    losses: Vec<f64>,
    best: Vec<f64>,
    steps: Vec<f64>,
    iterates: Vec<Vec<f64>>,
    result: SingleRun,
}

impl Trace<'_> {
    fn compare(&self, report: &mut Report) -> Result<()> {
        let parts: Vec<&str> = self.name.split('.').collect();
        let (norm, tag) = (parts[0], parts[1]);
        let loss = Loss::named(parts[2], self.victim)?;
        let attack = attack(self.victim, norm, tag, iterations(self.name)?, 1)?;
        let followed = self.follow(&attack, &loss, &self.victim.stored_start(norm, tag, 0)?)?;
        report.close(&self.full("eps"), &[attack.ball.epsilon], &[self.summary.eps], Tolerance::Each(1e-12));
        if self.arithmetic != Arithmetic::Double {
            return self.compare_end(&followed, matches!(loss, Loss::CrossEntropy), report);
        }
        if let Loss::TargetedDlr(targets) = &loss {
            report.same(&self.full("y_target"), targets, &self.tensors.labels(&self.full("y_target"))?);
        }
        self.compare_path(&followed, report)?;
        self.compare_outcome(&followed, report)?;
        self.compare_points(norm, &followed.result, report)
    }

    fn full(&self, what: &str) -> String {
        format!("{}.{what}.{}", self.name, self.arithmetic.suffix())
    }

    fn numbers(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(what))
    }

    fn follow(&self, attack: &Apgd, loss: &Loss, start: &Tensor) -> Result<Followed> {
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        let victim = Attacked::new(&self.victim.network, Mode::Eval, &objective);
        let (mut losses, mut best, mut steps, mut iterates) = (vec![], vec![], vec![], vec![]);
        let mut observer = |iteration: &Iteration<'_>| {
            losses.extend_from_slice(iteration.losses);
            best.extend(iteration.best_losses());
            steps.extend(iteration.step_sizes());
            iterates.push(iteration.iterate(0));
        };
        let result = attack.single_run(&victim, &self.victim.pixels, &self.victim.labels, start, &mut observer)?;
        Ok(Followed { losses, best, steps, iterates, result })
    }

    /// Losses and step sizes of every image, as long as its path is stable.
    fn compare_path(&self, followed: &Followed, report: &mut Report) -> Result<()> {
        let images = self.victim.len();
        let stable = &self.stable;
        let kept = |numbers: &[f64]| -> Vec<f64> {
            let stays = |&(i, _): &(usize, &f64)| ((i / images) as f64) < stable[i % images];
            numbers.iter().enumerate().filter(stays).map(|(_, number)| *number).collect()
        };
        for (what, found, tolerance) in [
            ("loss", &followed.losses, Tolerance::Each(self.tolerance)),
            ("best", &followed.best, Tolerance::Each(self.tolerance)),
            ("step", &followed.steps, Tolerance::Exact),
        ] {
            let expected = self.numbers(what)?;
            ensure!(found.len() == expected.len(), "{}: {} of {}", self.full(what), found.len(), expected.len());
            report.close(&self.full(what), &kept(found), &kept(&expected), tolerance);
        }
        for name in self.tensors.names() {
            let Some(rest) = name.strip_prefix(&format!("{}.iterate", self.name)) else { continue };
            let number: usize = rest.strip_suffix("_img0").context("an iterate of the first image")?.parse()?;
            if (number as f64) < stable[0] {
                let tolerance = Tolerance::Absolute(self.tolerance);
                report.close(&name, &followed.iterates[number], &self.tensors.numbers(&name)?, tolerance);
            }
        }
        Ok(())
    }

    /// When images are broken, here and in the summary.
    fn compare_outcome(&self, followed: &Followed, report: &mut Report) -> Result<()> {
        let SingleRun { first_broken, last_broken, .. } = &followed.result;
        let (first, last) = (indices(first_broken), indices(last_broken));
        let images = self.victim.len();
        let ends = followed.steps[..images].iter().zip(&followed.steps[followed.steps.len() - images..]);
        let halvings: Vec<f64> = ends.map(|(first, last)| (first / last).log2()).collect();
        let told = |indices: &[i64]| indices.iter().map(|&index| index as f64).collect::<Vec<_>>();
        for (what, found, expected) in [
            ("first_miscl", &first, self.numbers("first_miscl")?),
            ("last_miscl", &last, self.numbers("last_miscl")?),
            ("robust", &robust(&first), self.numbers("robust")?),
            ("summary, first", &first, told(&self.summary.first)),
            ("summary, last", &last, told(&self.summary.last)),
            ("summary, halvings", &halvings, self.summary.halvings.clone()),
        ] {
            let (found, expected) = (self.stable(found)?, self.stable(&expected)?);
            report.close(&self.full(what), &found, &expected, Tolerance::Absolute(1e-9));
        }
        if self.stable(&first)?.len() == images {
            let robust = first.iter().filter(|&&index| index < 0.0).count();
            report.same(&format!("{}: summary, robust", self.name), &robust, &self.summary.robust);
        }
        Ok(())
    }

    /// The numbers of the images whose path is stable to the end.
    fn stable(&self, of_images: &[f64]) -> Result<Vec<f64>> {
        let (stable, length) = (&self.stable, (iterations(self.name)? + 1) as f64);
        ensure!(of_images.len() == stable.len(), "{}: {} of {} images", self.name, of_images.len(), stable.len());
        Ok(of_images.iter().zip(stable).filter(|(_, stable)| **stable >= length).map(|(number, _)| *number).collect())
    }

    /// The points handed back. Of images that are not stable to the end nothing is said.
    fn compare_points(&self, norm: &str, result: &SingleRun, report: &mut Report) -> Result<()> {
        let stable = &self.stable;
        let length = (iterations(self.name)? + 1) as f64;
        for (what, points) in [("x_best", &result.highest), ("x_best_adv", &result.adversarial)] {
            let name = self.full(&format!("{what}_dist"));
            let found = self.stable(&self.victim.distances(norm, points)?)?;
            let expected = self.stable(&self.tensors.numbers(&name)?)?;
            report.close(&name, &found, &expected, Tolerance::Each(self.tolerance));
            let name = self.full(&format!("{what}_probe"));
            let found = self.stable(&self.victim.probes(points)?)?;
            let expected = self.stable(&self.tensors.numbers(&name)?)?;
            report.close(&name, &found, &expected, Tolerance::Absolute(self.tolerance));
            let name = format!("{}.{what}_img0_5", self.name);
            if self.tensors.has(&name) {
                let expected = self.tensors.numbers(&name)?;
                if stable[0].min(stable[5]) >= length {
                    let found = flat(&Tensor::cat(&[points.narrow(0, 0, 1)?, points.narrow(0, 5, 1)?], 0)?)?;
                    report.close(&name, &found, &expected, Tolerance::Absolute(1e-7)); // Stored in f32.
                }
            }
        }
        Ok(())
    }

    /// In f32: who is broken and when first, and for the cross-entropy how high the loss rose and how often each step size was
    /// halved, as often right as in PyTorch's own f32 run. The f64 run is held to everything.
    fn compare_end(&self, followed: &Followed, by_loss: bool, report: &mut Report) -> Result<()> {
        let first = indices(&followed.result.first_broken);
        report.mostly(&self.full("robust"), &robust(&first), &self.numbers("robust")?, Tolerance::Exact, 0.9);
        report.mostly(&self.full("first_miscl"), &first, &self.numbers("first_miscl")?, Tolerance::Exact, MOST);
        if !by_loss {
            return Ok(());
        }
        let images = self.victim.len();
        let of_f64 = |what: &str| self.tensors.numbers(&format!("{}.{what}.f64", self.name));
        let last = |numbers: &[f64]| numbers[numbers.len() - images..].to_vec();
        let often = self.arithmetic.as_often();
        let (told, exact) = (last(&self.numbers("best")?), last(&of_f64("best")?));
        let paths = [followed.result.best_losses.as_slice(), &told, &exact];
        report.as_often(often, &self.full("best"), paths, Tolerance::Each(self.tolerance));
        let [found, told, exact] =
            [followed.steps.clone(), self.numbers("step")?, of_f64("step")?].map(|steps| halvings(&steps, images));
        report.as_often(often, &self.full("step"), [&found, &told, &exact], Tolerance::Exact);
        Ok(())
    }
}

/// How often each step size had been halved when.
fn halvings(steps: &[f64], images: usize) -> Vec<f64> {
    steps.iter().enumerate().map(|(i, step)| (steps[i % images] / step).log2().round()).collect()
}

/// 1 for never broken.
fn robust(first_broken: &[f64]) -> Vec<f64> {
    first_broken.iter().map(|&index| if index < 0.0 { 1.0 } else { 0.0 }).collect()
}

/// -1 for never.
fn indices(iterations: &[Option<u32>]) -> Vec<f64> {
    iterations.iter().map(|iteration| iteration.map_or(-1.0, f64::from)).collect()
}
