//! `apgd_perturb_*`: whole AutoPGD attacks, with restarts and targets.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::Tensor;
use rrm_attacks::{Apgd, Victim as Attacked};
use rrm_spec::{ApgdLoss, Mode};
use serde::Deserialize;

use crate::{
    apgd::{Loss, attack},
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    folder::{Folder, Tensors},
    victims::Victim,
};

/// Share of the radius by which a distance may be off in f32, of which the index says nothing.
const F32_DISTANCES: f64 = 1e-3;

/// One run of `apgd_perturb_dnn.json`.
#[derive(Debug, PartialEq, Deserialize)]
struct RunOutcome {
    run: usize,
    images: Vec<usize>,
    targets: Option<Vec<u32>>,
    still_robust: Vec<u8>,
}

/// The net of a file named like `apgd_perturb_dnn.safetensors`.
pub(crate) fn net(file: &str) -> Option<&str> {
    file.strip_prefix("apgd_perturb_")?.strip_suffix(".safetensors")
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let net = net(file).context("a file of whole attacks")?;
    let entry = folder.entry(file)?;
    let told: BTreeMap<String, Vec<RunOutcome>> = folder.json(&format!("apgd_perturb_{net}.json"))?;
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let parameters = &entry.parameters;
        let victim = Victim::load(folder, parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        let whole = Whole {
            victim: &victim,
            tag: parameters["eps"].as_str().context("eps")?,
            iterations: parameters["N"].as_u64().context("N")? as usize,
            arithmetic,
            tolerance: tolerance_after(&entry.tolerance, "distances")?,
        };
        for (name, runs) in &told {
            let Some(attack) = name.strip_suffix(&format!(".{}", arithmetic.suffix())) else { continue };
            arithmetic.during(|| whole.compare(attack, runs, &tensors, &mut report))?;
        }
    }
    tensors.all()?;
    Ok(report)
}

/// Whole attacks, from the starts that belong to each run.
struct Whole<'a> {
    victim: &'a Victim,
    tag: &'a str,
    iterations: usize,
    arithmetic: Arithmetic,
    tolerance: f64,
}

impl Whole<'_> {
    /// `name` is like `Linf.ce`.
    fn compare(&self, name: &str, runs: &Vec<RunOutcome>, tensors: &Tensors, report: &mut Report) -> Result<()> {
        let told = |what: &str, suffix: &str| tensors.numbers(&format!("{name}.{what}.{suffix}"));
        let suffix = self.arithmetic.suffix();
        let (norm, loss) = name.split_once('.').with_context(|| format!("`{name}` is no attack"))?;
        let (found, images) = self.attack(norm, loss, runs.len())?;
        let (robust, distances) = (self.robust(&found), self.victim.distances(norm, &images)?);
        let (expected, what) = (told("robust", suffix)?, format!("{name}: robust"));
        if self.arithmetic != Arithmetic::Double {
            report.mostly(&what, &robust, &expected, Tolerance::Exact, 0.9);
            let tolerance = Tolerance::Absolute(F32_DISTANCES * self.victim.epsilon(norm, self.tag)?);
            let paths = [distances.as_slice(), &told("adv_dist", "f32")?, &told("adv_dist", "f64")?];
            report.as_often(self.arithmetic.as_often(), &format!("{name}: distances"), paths, tolerance);
            return Ok(());
        }
        report.same(&format!("{name}: runs"), &found, runs);
        report.close(&what, &robust, &expected, Tolerance::Exact);
        let tolerance = Tolerance::Absolute(self.tolerance);
        report.close(&format!("{name}: distances"), &distances, &told("adv_dist", suffix)?, tolerance);
        Ok(())
    }

    /// What each run did, and the images handed back.
    fn attack(&self, norm: &str, loss: &str, runs: usize) -> Result<(Vec<RunOutcome>, Tensor)> {
        let starts = (0..runs).map(|run| self.victim.generated_start(norm, self.tag, run));
        let starts: Vec<Tensor> = starts.collect::<Result<_>>()?;
        let restarted = attack(self.victim, norm, self.tag, self.iterations, runs as u32)?;
        let targeted = Apgd { restarts: 1, loss: ApgdLoss::TargetedDlr, targets: Some(runs as u32), ..restarted };
        let (attack, loss) = match loss {
            // The attack has objectives of its own, one for each run.
            "targeted" => (targeted, Loss::CrossEntropy),
            _ => (restarted, Loss::named(loss, self.victim)?),
        };
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        let victim = Attacked::new(&self.victim.network, Mode::Eval, &objective);
        let attacked = attack.perturb_from(&victim, &self.victim.pixels, &self.victim.labels, &starts)?;
        let correct = self.naturally_correct();
        let outcome = |run: usize| {
            let left = |row: &usize| attacked.broken_by[*row].is_none_or(|by| by as usize >= run);
            let images: Vec<usize> = correct.iter().copied().filter(left).collect();
            let survives = |&row: &usize| u8::from(attacked.broken_by[row] != Some(run as u32));
            let still_robust = images.iter().map(survives).collect();
            let targets = (attack == targeted).then(|| self.targets(run, &images));
            RunOutcome { run, targets, still_robust, images }
        };
        Ok(((0..runs).map(outcome).collect(), attacked.images))
    }

    /// The classes that a run leads to: those of the second highest natural logit first.
    fn targets(&self, run: usize, images: &[usize]) -> Vec<u32> {
        let ranked = self.victim.ranked(run + 2);
        images.iter().map(|&row| ranked[row]).collect()
    }

    fn naturally_correct(&self) -> Vec<usize> {
        let ranked = self.victim.ranked(1);
        (0..self.victim.len()).filter(|&row| ranked[row] == self.victim.labels[row]).collect()
    }

    /// Who is left at the end.
    fn robust(&self, runs: &[RunOutcome]) -> Vec<f64> {
        let mut robust = vec![0.0; self.victim.len()];
        if let Some(last) = runs.last() {
            for (&image, &still) in last.images.iter().zip(&last.still_robust) {
                robust[image] = f64::from(still);
            }
        }
        robust
    }
}
