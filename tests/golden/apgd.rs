//! `apgd_<net>.safetensors`: AutoPGD, traced iteration by iteration.

use std::collections::BTreeMap;

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
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{NUMBER_TYPES, Victim, norm_named},
};

/// The longest run that is traced; longer ones do nothing that these do not.
const MOST_ITERATIONS: usize = 50;

/// In f32, what the index calls most images.
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

    pub(crate) fn rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::CrossEntropy => Self::CrossEntropy,
            Self::Dlr => Self::Dlr,
            Self::TargetedDlr(targets) => Self::TargetedDlr(rows.iter().map(|&row| targets[row]).collect()),
        }
    }
}

/// An attack of that norm and radius.
pub(crate) fn attack(victim: &Victim, norm: &str, tag: &str, iterations: usize, restarts: u32) -> Result<Apgd> {
    let ball = Ball { norm: norm_named(norm)?, epsilon: victim.epsilon(norm, tag)? };
    Ok(Apgd { ball, iterations: iterations as u32, restarts, loss: ApgdLoss::Ce })
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
    /// How far PyTorch's own f32 run is from its f64 run.
    f32_best_rel: f64,
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
    for (dtype, suffix) in NUMBER_TYPES {
        let victim = Victim::load(folder, entry.parameters["net"].as_str().context("net")?, dtype)?;
        let tolerance = if suffix == "f64" { "loss/best" } else { "best loss" };
        let tolerance = tolerance_after(&entry.tolerance, tolerance)?;
        for trace in traces.iter().filter(|trace| !is_long(trace)) {
            let summary = summaries.get(&format!("{net}.{trace}")).with_context(|| format!("no summary of {trace}"))?;
            let trace = Trace { tensors: &tensors, victim: &victim, name: trace, suffix, tolerance, summary };
            trace.compare(&mut report)?;
        }
    }
    if traces.iter().any(|trace| is_long(trace)) {
        report.skip(format!("traces of more than {MOST_ITERATIONS} iterations: the same code for longer"));
    }
    tensors.all_but(|name| {
        // In f32 the path is not reproducible, and so not compared; only where it ends.
        let of_path = [".loss.f32", ".step.f32", ".x_best_", ".last_miscl.f32", ".y_target.f32"];
        is_long(name) || name.ends_with(".f32") && of_path.iter().any(|part| name.contains(part))
    })?;
    Ok(report)
}

/// N of a trace named like `L2.big.ce.N20`.
fn iterations(trace: &str) -> Result<usize> {
    let count = trace.split('.').nth(3).and_then(|part| part.strip_prefix('N'));
    Ok(count.with_context(|| format!("`{trace}` has no number of iterations"))?.parse()?)
}

struct Trace<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    name: &'a str,
    suffix: &'a str,
    tolerance: f64,
    summary: &'a Summary,
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
        if self.suffix == "f32" {
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
        format!("{}.{what}.{}", self.name, self.suffix)
    }

    fn numbers(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(what))
    }

    fn follow(&self, attack: &Apgd, loss: &Loss, start: &Tensor) -> Result<Followed> {
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        let victim = Attacked { model: &self.victim.network, mode: Mode::Eval, objective: &objective };
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
        let stable = self.tensors.numbers(&format!("{}.stable_until", self.name))?;
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
        report.close(&self.full("first_miscl"), &first, &self.numbers("first_miscl")?, Tolerance::Exact);
        report.close(&self.full("last_miscl"), &last, &self.numbers("last_miscl")?, Tolerance::Exact);
        self.compare_robust(&first, report)?;
        let told = |indices: &[i64]| indices.iter().map(|&index| index as f64).collect::<Vec<_>>();
        report.same(&format!("{}: summary, first", self.name), &first, &told(&self.summary.first));
        report.same(&format!("{}: summary, last", self.name), &last, &told(&self.summary.last));
        let robust = first.iter().filter(|&&index| index < 0.0).count();
        report.same(&format!("{}: summary, robust", self.name), &robust, &self.summary.robust);
        let images = self.victim.len();
        let ends = followed.steps[..images].iter().zip(&followed.steps[followed.steps.len() - images..]);
        let halvings: Vec<f64> = ends.map(|(first, last)| (first / last).log2()).collect();
        report.close(&format!("{}: halvings", self.name), &halvings, &self.summary.halvings, Tolerance::Absolute(1e-9));
        Ok(())
    }

    fn compare_robust(&self, first: &[f64], report: &mut Report) -> Result<()> {
        let robust: Vec<f64> = first.iter().map(|&index| if index < 0.0 { 1.0 } else { 0.0 }).collect();
        report.close(&self.full("robust"), &robust, &self.numbers("robust")?, Tolerance::Exact);
        Ok(())
    }

    /// The points handed back. Of images that are not stable to the end nothing is said.
    fn compare_points(&self, norm: &str, result: &SingleRun, report: &mut Report) -> Result<()> {
        let stable = self.tensors.numbers(&format!("{}.stable_until", self.name))?;
        let length = (iterations(self.name)? + 1) as f64;
        let kept = |numbers: Vec<f64>| -> Vec<f64> {
            numbers
                .into_iter()
                .zip(&stable)
                .filter(|(_, stable)| **stable >= length)
                .map(|(number, _)| number)
                .collect()
        };
        for (what, points) in [("x_best", &result.highest), ("x_best_adv", &result.adversarial)] {
            let name = self.full(&format!("{what}_dist"));
            let found = kept(self.victim.distances(norm, points)?);
            report.close(&name, &found, &kept(self.tensors.numbers(&name)?), Tolerance::Each(self.tolerance));
            let name = self.full(&format!("{what}_probe"));
            let found = kept(self.victim.probes(points)?);
            report.close(&name, &found, &kept(self.tensors.numbers(&name)?), Tolerance::Absolute(self.tolerance));
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

    /// In f32: who is broken and when first, and for the cross-entropy how high the loss rose. Rounding flips signs and
    /// reorders losses, so that paths part; PyTorch's own f32 run is farther from its f64 run than the index allows, and we
    /// may be twice as far. The f64 run is held to everything.
    fn compare_end(&self, followed: &Followed, by_loss: bool, report: &mut Report) -> Result<()> {
        let first = indices(&followed.result.first_broken);
        let robust: Vec<f64> = first.iter().map(|&index| if index < 0.0 { 1.0 } else { 0.0 }).collect();
        report.mostly(&self.full("robust"), &robust, &self.numbers("robust")?, Tolerance::Exact, 0.9);
        report.mostly(&self.full("first_miscl"), &first, &self.numbers("first_miscl")?, Tolerance::Exact, MOST);
        let (expected, images) = (self.numbers("best")?, self.victim.len());
        if by_loss {
            let allowed = self.tolerance.max(2.0 * self.summary.f32_best_rel);
            let expected = &expected[expected.len() - images..];
            let found = &followed.result.best_losses;
            report.mostly(&self.full("best"), found, expected, Tolerance::Each(allowed), MOST);
        }
        Ok(())
    }
}

/// -1 for never.
fn indices(iterations: &[Option<u32>]) -> Vec<f64> {
    iterations.iter().map(|iteration| iteration.map_or(-1.0, f64::from)).collect()
}
