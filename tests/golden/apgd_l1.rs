//! `l1_<net>.safetensors`: AutoPGD in l1, through its three radii.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use candle_core::Tensor;
use rrm_attacks::{
    Apgd, Ball, Victim as Attacked,
    apgd::{Iteration, SingleRun},
};
use rrm_spec::{ApgdLoss, Mode, Norm};

use crate::{
    apgd::Loss,
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::Victim,
};

/// In f32, what counts as most images.
const MOST: f64 = 0.9;

/// By what share most f32 highest losses may be off f64's: a step moves a pixel all the way or not at all, and rounding decides of
/// some. PyTorch's own f32 runs of 100 iterations are up to 3 % off, and one image in two by more than the index allows.
const NEAR: f64 = 0.05;

/// Runs of at most so many iterations end as often at f64's highest losses as PyTorch's own.
const SHORT: u32 = 20;

pub(crate) fn is_known(file: &str) -> bool {
    file.starts_with("l1_") && file.ends_with(".safetensors")
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let (tensors, entry) = (folder.tensors(file)?, folder.entry(file)?);
    let epsilon = entry.parameters["epsilon"].as_f64().context("epsilon")?;
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let victim = Victim::load(folder, entry.parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        let what = if arithmetic == Arithmetic::Double { "loss/best" } else { "best loss" };
        let tolerance = tolerance_after(&entry.tolerance, what)?;
        let ending = format!(".robust.{}", arithmetic.suffix());
        for name in tensors.names().iter().filter_map(|name| name.strip_suffix(&ending)) {
            let run = Run { tensors: &tensors, victim: &victim, name, epsilon, arithmetic, tolerance };
            arithmetic.during(|| run.compare(&mut report))?;
        }
    }
    tensors.all_but("the path is not reproducible in f32; its end is compared", &mut report, |name| {
        [".loss.f32", "_dist.f32"].iter().any(|part| name.ends_with(part))
            || name.contains("dlr") && name.ends_with("f32")
    })?;
    Ok(report)
}

/// One run, named like `ce.N20`.
struct Run<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    name: &'a str,
    epsilon: f64,
    arithmetic: Arithmetic,
    tolerance: f64,
}

impl Run<'_> {
    fn compare(&self, report: &mut Report) -> Result<()> {
        let (loss, iterations) = self.name.split_once(".N").context("a loss and a number of iterations")?;
        let ball = Ball { norm: Norm::L1, epsilon: self.epsilon };
        let (iterations, passes) = (iterations.parse()?, NonZeroU32::MIN);
        let attack = Apgd { ball, iterations, restarts: 1, loss: ApgdLoss::Ce, targets: None, passes };
        let loss = Loss::named(loss, self.victim)?;
        let (losses, result) = self.follow(&attack, &loss)?;
        let robust: Vec<f64> = result.first_broken.iter().map(|at| f64::from(u8::from(at.is_none()))).collect();
        if self.arithmetic == Arithmetic::Double {
            self.compare_exactly(&losses, &robust, &result, report)
        } else {
            let by_loss = matches!(loss, Loss::CrossEntropy);
            self.compare_end(&robust, &result, by_loss.then_some(iterations), report)
        }
    }

    /// Losses of every image at all points, and the run's result.
    fn follow(&self, attack: &Apgd, loss: &Loss) -> Result<(Vec<f64>, SingleRun)> {
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        let victim = Attacked::new(&self.victim.network, Mode::Eval, &objective);
        let start = self.victim.stored_start("L2", "big", 0)?;
        let mut losses = Vec::new();
        let mut observer = |iteration: &Iteration<'_>| losses.extend_from_slice(iteration.losses);
        let result = attack.single_run(&victim, &self.victim.pixels, &self.victim.labels, &start, &mut observer)?;
        Ok((losses, result))
    }

    fn compare_exactly(&self, losses: &[f64], robust: &[f64], result: &SingleRun, report: &mut Report) -> Result<()> {
        let distances = |points: &Tensor| Ball { norm: Norm::L1, epsilon: 0.0 }.distances(points, &self.victim.pixels);
        let (highest, adversarial) = (distances(&result.highest)?, distances(&result.adversarial)?);
        for (what, found, tolerance) in [
            ("loss", losses, Tolerance::Each(self.tolerance)),
            ("best", result.best_losses.as_slice(), Tolerance::Each(self.tolerance)),
            ("robust", robust, Tolerance::Exact),
            ("x_best_dist", &highest, Tolerance::Each(self.tolerance)),
            ("x_best_adv_dist", &adversarial, Tolerance::Each(self.tolerance)),
        ] {
            report.close(&self.full(what), found, &self.numbers(what)?, tolerance);
        }
        let name = format!("{}.x_best_img0_5", self.name);
        let found = Tensor::cat(&[result.highest.narrow(0, 0, 1)?, result.highest.narrow(0, 5, 1)?], 0)?;
        report.close(&name, &flat(&found)?, &self.tensors.numbers(&name)?, Tolerance::Absolute(self.tolerance));
        Ok(())
    }

    /// `by_loss` is the number of iterations of a run whose losses are compared.
    fn compare_end(&self, robust: &[f64], result: &SingleRun, by_loss: Option<u32>, report: &mut Report) -> Result<()> {
        report.mostly(&self.full("robust"), robust, &self.numbers("robust")?, Tolerance::Exact, MOST);
        let Some(iterations) = by_loss else { return Ok(()) };
        let (best, told) = (result.best_losses.as_slice(), self.numbers("best")?);
        let exact = self.tensors.numbers(&format!("{}.best.f64", self.name))?;
        report.mostly(&self.full("best"), best, &exact, Tolerance::Each(NEAR), MOST);
        if iterations <= SHORT {
            let tolerance = Tolerance::Each(self.tolerance);
            report.as_often(self.arithmetic.as_often(), &self.full("best"), [best, &told, &exact], tolerance);
        }
        Ok(())
    }

    fn numbers(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(what))
    }

    fn full(&self, what: &str) -> String {
        format!("{}.{what}.{}", self.name, self.arithmetic.suffix())
    }
}
