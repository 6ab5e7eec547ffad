//! `apgd_perturb_*`: whole AutoPGD attacks, with restarts and targets.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use rrm_attacks::{Apgd, Victim as Attacked, apgd::SingleRun};
use rrm_spec::Mode;
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
    for arithmetic in Arithmetic::ALL {
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
        match loss {
            "targeted" => self.one_target_after_another(norm, &starts),
            _ => self.restarted(norm, &Loss::named(loss, self.victim)?, &starts),
        }
    }

    fn naturally_correct(&self) -> Vec<usize> {
        let ranked = self.victim.ranked(1);
        (0..self.victim.len()).filter(|&row| ranked[row] == self.victim.labels[row]).collect()
    }

    /// The attack's own restarts.
    fn restarted(&self, norm: &str, loss: &Loss, starts: &[Tensor]) -> Result<(Vec<RunOutcome>, Tensor)> {
        let attack = attack(self.victim, norm, self.tag, self.iterations, starts.len() as u32)?;
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        // Restarts shrink the batch, which only a loss without targets does not notice.
        let victim = Attacked { model: &self.victim.network, mode: Mode::Eval, objective: &objective };
        let attacked = attack.perturb_from(&victim, &self.victim.pixels, &self.victim.labels, starts)?;
        let correct = self.naturally_correct();
        let outcome = |run: usize| {
            let left = |row: &usize| attacked.broken_by[*row].is_none_or(|by| by as usize >= run);
            let images: Vec<usize> = correct.iter().copied().filter(left).collect();
            let survives = |&row: &usize| u8::from(attacked.broken_by[row] != Some(run as u32));
            RunOutcome { run, targets: None, still_robust: images.iter().map(survives).collect(), images }
        };
        Ok(((0..starts.len()).map(outcome).collect(), attacked.images))
    }

    /// A run for each target, the second highest natural class first, on the images that no run before broke.
    fn one_target_after_another(&self, norm: &str, starts: &[Tensor]) -> Result<(Vec<RunOutcome>, Tensor)> {
        let attack = attack(self.victim, norm, self.tag, self.iterations, 1)?;
        let mut images = self.naturally_correct();
        let mut points: Vec<Tensor> =
            (0..self.victim.len()).map(|row| self.victim.pixels.get(row)).collect::<Result<_, _>>()?;
        let mut outcomes = Vec::new();
        for (run, start) in starts.iter().enumerate() {
            let all_targets = self.victim.ranked(run + 2);
            let targets: Vec<u32> = images.iter().map(|&row| all_targets[row]).collect();
            let loss = Loss::TargetedDlr(all_targets).rows(&images);
            let found = self.run_on(&attack, &loss, &images, start)?;
            let broken: Vec<bool> = found.first_broken.iter().map(Option::is_some).collect();
            for (position, &row) in images.iter().enumerate().filter(|&(position, _)| broken[position]) {
                points[row] = found.adversarial.get(position)?;
            }
            let still_robust = broken.iter().map(|&broken| u8::from(!broken)).collect();
            let left = images.iter().zip(&broken).filter(|(_, broken)| !**broken).map(|(&row, _)| row).collect();
            outcomes.push(RunOutcome {
                run,
                images: std::mem::replace(&mut images, left),
                targets: Some(targets),
                still_robust,
            });
        }
        Ok((outcomes, Tensor::stack(&points, 0)?))
    }

    fn run_on(&self, attack: &Apgd, loss: &Loss, rows: &[usize], start: &Tensor) -> Result<SingleRun> {
        let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let indices = Tensor::new(indices.as_slice(), &Device::Cpu)?;
        let labels: Vec<u32> = rows.iter().map(|&row| self.victim.labels[row]).collect();
        let objective = |logits: &Tensor, labels: &Tensor| loss.of(logits, labels);
        let victim = Attacked { model: &self.victim.network, mode: Mode::Eval, objective: &objective };
        let (pixels, start) = (self.victim.pixels.index_select(&indices, 0)?, start.index_select(&indices, 0)?);
        Ok(attack.single_run(&victim, &pixels, &labels, &start, &mut |_| {})?)
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
