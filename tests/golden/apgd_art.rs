//! `art172_*`: AutoPGD as ART 1.7.2 runs it, batch by batch.

use std::{collections::BTreeMap, num::NonZeroU32};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use rrm_attacks::{
    ArtApgd, Ball, Victim as Attacked,
    apgd::{ArtIteration, art_checkpoints},
};
use rrm_spec::Mode;
use serde::Deserialize;

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{Victim, norm_named},
};

/// Share of the radius by which a distance may be off in f32, of which the index says nothing.
const F32_DISTANCES: f64 = 1e-3;

/// One attack of `art172_dnn.json`.
#[derive(Deserialize)]
struct Told {
    eps: f64,
    blocks: Vec<Block>,
    robust: Vec<u8>,
}

/// One batch of one restart.
#[derive(Deserialize)]
struct Block {
    eta: Vec<f64>,
    f0: f64,
    f1: f64,
    f: Vec<Option<f64>>,
    f_max: Vec<Option<f64>>,
    count: Vec<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Decisions {
    decision_at_loop_index: Vec<u32>,
}

/// The net of a file named like `art172_dnn.safetensors`.
pub(crate) fn net(file: &str) -> Option<&str> {
    file.strip_prefix("art172_")?.strip_suffix(".safetensors")
}

/// ART's decisions, in its loop indices.
pub(crate) fn compare_decisions(told: &BTreeMap<String, Decisions>, report: &mut Report) -> Result<()> {
    for (iterations, told) in told {
        let found: Vec<u32> = art_checkpoints(iterations.parse()?).iter().map(|decision| decision.after - 1).collect();
        report.same(&format!("ART's decisions of {iterations}"), &found, &told.decision_at_loop_index);
    }
    Ok(())
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let net = net(file).context("a file of ART's attacks")?;
    let entry = folder.entry(file)?;
    let told: BTreeMap<String, Told> = folder.json(&format!("art172_{net}.json"))?;
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    for arithmetic in Arithmetic::ALL {
        report.begin(arithmetic);
        let parameters = &entry.parameters;
        let victim = Victim::load(folder, parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        let batch = parameters["batch_size"].as_u64().and_then(|batch| NonZeroU32::new(batch as u32));
        let attacks = Attacks {
            victim: &victim,
            tensors: &tensors,
            batch: batch.context("batch_size")?,
            restarts: parameters["nb_random_init"].as_u64().context("nb_random_init")? as u32,
            arithmetic,
            tolerance: tolerance_after(&entry.tolerance, "distances")?,
        };
        for (name, told) in &told {
            let Some(attack) = name.strip_suffix(&format!(".{}", arithmetic.suffix())) else { continue };
            arithmetic.during(|| attacks.compare(attack, told, &mut report))?;
        }
    }
    tensors.all_but("the path is not reproducible in f32; its end is compared", &mut report, |name| {
        name.ends_with(".adv_probe.f32")
    })?;
    Ok(report)
}

struct Attacks<'a> {
    victim: &'a Victim,
    tensors: &'a Tensors,
    batch: NonZeroU32,
    restarts: u32,
    arithmetic: Arithmetic,
    tolerance: f64,
}

impl Attacks<'_> {
    /// `name` is like `Linf.small.N10`.
    fn compare(&self, name: &str, told: &Told, report: &mut Report) -> Result<()> {
        let parts: Vec<&str> = name.split('.').collect();
        let (norm, tag) = (parts[0], parts[1]);
        let iterations = parts[2].strip_prefix('N').context("no number of iterations")?.parse()?;
        let epsilon = self.victim.epsilon(norm, tag)?;
        report.close(&format!("{name}: eps"), &[epsilon], &[told.eps], Tolerance::Each(1e-12));
        let ball = Ball { norm: norm_named(norm)?, epsilon };
        let attack = ArtApgd { ball, iterations, restarts: self.restarts, batch: self.batch };
        let noise = (0..self.restarts).map(|restart| self.noise(norm, tag, restart as usize));
        let noise: Vec<Tensor> = noise.collect::<Result<_>>()?;
        let victim = Attacked::by_cross_entropy(&self.victim.network, Mode::Eval);
        let mut found = Vec::new();
        let (pixels, labels) = (&self.victim.pixels, &self.victim.labels);
        let attacked = attack.perturb_with(&victim, pixels, labels, &noise, &mut |iteration| found.push(iteration))?;
        if self.arithmetic != Arithmetic::Double {
            return self.compare_end(name, &attacked.images, epsilon, report);
        }
        self.compare_blocks(name, &found, &told.blocks, report);
        let left: Vec<u8> = attacked.broken_by.iter().map(|broken_by| u8::from(broken_by.is_none())).collect();
        report.same(&format!("{name}: images left"), &left, &told.robust);
        self.compare_points(name, &attacked.images, report)
    }

    /// The batches' losses and step sizes.
    fn compare_blocks(&self, name: &str, found: &[ArtIteration], told: &[Block], report: &mut Report) {
        let found: Vec<&[ArtIteration]> = found.chunk_by(|a, b| a.index < b.index).collect();
        report.same(&format!("{name}: batches"), &found.len(), &told.len());
        for (block, (found, told)) in found.iter().zip(told).enumerate() {
            let of = |number: fn(&ArtIteration) -> f64| found.iter().map(number).collect::<Vec<f64>>();
            let what = |what: &str| format!("{name}: batch {block}: {what}");
            let rises: Vec<u32> = found.iter().map(|iteration| iteration.rises).collect();
            report.close(&what("eta"), &of(|i| i.step_size), &told.eta, Tolerance::Exact);
            report.same(&what("count"), &rises, &told.count);
            let losses: Vec<f64> =
                [told.f0, told.f1].into_iter().chain(told.f.iter().skip(2).flatten().copied()).collect();
            report.close(&what("f"), &of(|i| i.loss), &losses, Tolerance::Each(self.tolerance));
            let best: Vec<f64> = told.f_max.iter().skip(1).flatten().copied().collect();
            report.close(&what("f_max"), &of(|i| i.best_loss)[1..], &best, Tolerance::Each(self.tolerance));
        }
    }

    fn compare_points(&self, name: &str, images: &Tensor, report: &mut Report) -> Result<()> {
        let numbers = |what: &str| self.tensors.numbers(&format!("{name}.{what}"));
        let norm = name.split('.').next().context("a norm")?;
        let tolerance = Tolerance::Absolute(self.tolerance);
        let distances = self.victim.distances(norm, images)?;
        report.close(&format!("{name}: distances"), &distances, &numbers("adv_dist.f64")?, tolerance);
        report.close(&format!("{name}: probes"), &self.victim.probes(images)?, &numbers("adv_probe.f64")?, tolerance);
        report.close(&format!("{name}: robust"), &self.robust(images)?, &numbers("robust.f64")?, Tolerance::Exact);
        let shown = flat(&Tensor::cat(&[images.narrow(0, 0, 1)?, images.narrow(0, 5, 1)?], 0)?)?;
        report.close(&format!("{name}: images"), &shown, &numbers("adv_img0_5")?, Tolerance::Absolute(1e-7)); // Stored in f32.
        Ok(())
    }

    /// In f32: who is broken, and how far images were moved as often right as in PyTorch's own f32 run.
    fn compare_end(&self, name: &str, images: &Tensor, epsilon: f64, report: &mut Report) -> Result<()> {
        let numbers = |what: &str| self.tensors.numbers(&format!("{name}.{what}"));
        let robust = self.robust(images)?;
        report.mostly(&format!("{name}: robust"), &robust, &numbers("robust.f32")?, Tolerance::Exact, 0.9);
        let distances = self.victim.distances(name.split('.').next().context("a norm")?, images)?;
        let paths = [distances.as_slice(), &numbers("adv_dist.f32")?, &numbers("adv_dist.f64")?];
        let tolerance = Tolerance::Absolute(F32_DISTANCES * epsilon);
        report.as_often(self.arithmetic.as_often(), &format!("{name}: distances"), paths, tolerance);
        Ok(())
    }

    /// 1 for classified correctly.
    fn robust(&self, images: &Tensor) -> Result<Vec<f64>> {
        Ok(self.victim.correct(images)?.into_iter().map(|correct| f64::from(u8::from(correct))).collect())
    }

    /// f32(eps*v) with v = sym('attack.start.r<restart>'), for l2 of length 0.9.
    fn noise(&self, norm: &str, tag: &str, restart: usize) -> Result<Tensor> {
        let share = if norm == "L2" { 0.9 } else { 1.0 };
        let epsilon = share * self.victim.epsilon(norm, tag)?;
        let direction = self.victim.generated_direction(norm, restart);
        let change: Vec<f32> = direction.into_iter().map(|v| (epsilon * v) as f32).collect();
        let change = Tensor::from_vec(change, self.victim.pixels.shape(), &Device::Cpu)?;
        Ok(change.to_dtype(if self.arithmetic == Arithmetic::Double { DType::F64 } else { DType::F32 })?)
    }
}
