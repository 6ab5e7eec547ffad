//! `art172_*`: AutoPGD as ART 1.7.2 runs it, batch by batch.
//!
//! f64 is held to every loss, step size and point. In f32 a sign or a ReLU that rounding turns sends an image another way, and one image's
//! loss decides on the step size of its whole batch: ART's own f32 run parts from its f64 run, too. So f32 is held to what a run does
//! before anything has turned (its first two losses), to what must hold whatever turned (no point leaves the ball, the same images are
//! broken), and over all attacks together to as many step sizes, highest losses and distances of f64 as ART's own f32 run has.

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

/// By what share a loss, a step size or a distance may be off in f32, of which the index says nothing.
const SINGLE: f64 = 1e-3;

/// Share of the images that must be broken, or not, as in ART's own f32 run.
const MOST: f64 = 0.9;

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
    /// Its number within the restart.
    batch: usize,
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
    for &arithmetic in Arithmetic::all() {
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
        let mut ends = Ends::default();
        for (name, of_attack) in &told {
            let Some(attack) = name.strip_suffix(&format!(".{}", arithmetic.suffix())) else { continue };
            let run = arithmetic.during(|| attacks.run(attack, of_attack, &mut report))?;
            if arithmetic == Arithmetic::Double {
                attacks.compare(&run, of_attack, &mut report)?;
                continue;
            }
            let exact = told.get(&format!("{attack}.f64")).with_context(|| format!("{attack} in f64"))?;
            attacks.compare_single(&run, [of_attack, exact], &mut ends, &mut report)?;
        }
        if arithmetic != Arithmetic::Double {
            ends.compare(arithmetic, &mut report);
        }
    }
    tensors.all_but("the path is not reproducible in f32; its end is compared", &mut report, |name| {
        name.ends_with(".adv_probe.f32")
    })?;
    Ok(report)
}

/// Numbers of our f32 run, of ART's own, and of its f64 run.
#[derive(Default)]
struct Paths([Vec<f64>; 3]);

impl Paths {
    fn extend(&mut self, numbers: [Vec<f64>; 3]) {
        self.0.iter_mut().zip(numbers).for_each(|(all, numbers)| all.extend(numbers));
    }
}

/// What f32 runs came to, over all attacks.
#[derive(Default)]
struct Ends {
    /// At every iteration.
    step_sizes: Paths,
    /// The highest mean loss of each batch.
    best_losses: Paths,
    /// Of each image, in units of the radius.
    distances: Paths,
}

impl Ends {
    fn take_blocks(&mut self, found: &[&[ArtIteration]], [single, exact]: [&Told; 2]) {
        for ((found, single), exact) in found.iter().zip(&single.blocks).zip(&exact.blocks) {
            // A batch may end early, in one of the runs.
            let length = found.len().min(single.eta.len()).min(exact.eta.len());
            let steps = found[..length].iter().map(|iteration| iteration.step_size).collect();
            self.step_sizes.extend([steps, single.eta[..length].to_vec(), exact.eta[..length].to_vec()]);
            let own = found.last().map_or(f64::NAN, |iteration| iteration.best_loss);
            let last = |block: &Block| block.f_max.iter().flatten().last().copied().unwrap_or(f64::NAN);
            self.best_losses.extend([own, last(single), last(exact)].map(|loss| vec![loss]));
        }
    }

    fn compare(&self, arithmetic: Arithmetic, report: &mut Report) {
        for (what, paths, tolerance) in [
            ("step sizes", &self.step_sizes, Tolerance::Each(SINGLE)),
            ("highest losses", &self.best_losses, Tolerance::Each(SINGLE)),
            ("distances", &self.distances, Tolerance::Absolute(SINGLE)),
        ] {
            report.as_often(arithmetic.as_often(), what, paths.0.each_ref().map(Vec::as_slice), tolerance);
        }
    }
}

struct Attacks<'a> {
    victim: &'a Victim,
    tensors: &'a Tensors,
    batch: NonZeroU32,
    restarts: u32,
    arithmetic: Arithmetic,
    tolerance: f64,
}

/// What an attack did. `name` is like `Linf.small.N10`.
struct Run<'a> {
    name: &'a str,
    norm: &'a str,
    epsilon: f64,
    iterations: Vec<ArtIteration>,
    images: Tensor,
    broken: Vec<bool>,
}

impl Run<'_> {
    /// The iterations of each batch.
    fn blocks(&self) -> Vec<&[ArtIteration]> {
        self.iterations.chunk_by(|a, b| a.index < b.index).collect()
    }
}

impl Attacks<'_> {
    fn run<'n>(&self, name: &'n str, told: &Told, report: &mut Report) -> Result<Run<'n>> {
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
        let broken = attacked.broken_by.iter().map(Option::is_some).collect();
        Ok(Run { name, norm, epsilon, iterations: found, images: attacked.images, broken })
    }

    /// In f64.
    fn compare(&self, run: &Run<'_>, told: &Told, report: &mut Report) -> Result<()> {
        self.compare_blocks(run, &told.blocks, report);
        let left: Vec<u8> = run.broken.iter().map(|&broken| u8::from(!broken)).collect();
        report.same(&format!("{}: images left", run.name), &left, &told.robust);
        self.compare_points(run, report)
    }

    /// The batches' losses and step sizes.
    fn compare_blocks(&self, run: &Run<'_>, told: &[Block], report: &mut Report) {
        let (name, found) = (run.name, run.blocks());
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

    fn compare_points(&self, run: &Run<'_>, report: &mut Report) -> Result<()> {
        let Run { name, norm, images, .. } = run;
        let numbers = |what: &str| self.tensors.numbers(&format!("{name}.{what}"));
        let tolerance = Tolerance::Absolute(self.tolerance);
        let distances = self.victim.distances(norm, images)?;
        report.close(&format!("{name}: distances"), &distances, &numbers("adv_dist.f64")?, tolerance);
        report.close(&format!("{name}: probes"), &self.victim.probes(images)?, &numbers("adv_probe.f64")?, tolerance);
        report.close(&format!("{name}: robust"), &self.robust(images)?, &numbers("robust.f64")?, Tolerance::Exact);
        let shown = flat(&Tensor::cat(&[images.narrow(0, 0, 1)?, images.narrow(0, 5, 1)?], 0)?)?;
        report.close(&format!("{name}: images"), &shown, &numbers("adv_img0_5")?, Tolerance::Absolute(1e-7)); // Stored in f32.
        Ok(())
    }

    /// In f32: `told` are ART's own f32 run and its f64 run.
    fn compare_single(&self, run: &Run<'_>, told: [&Told; 2], ends: &mut Ends, report: &mut Report) -> Result<()> {
        let Run { name, norm, epsilon, images, .. } = run;
        let numbers = |what: &str| self.tensors.numbers(&format!("{name}.{what}"));
        self.compare_beginnings(run, told[1], report);
        let robust = self.robust(images)?;
        report.mostly(&format!("{name}: robust"), &robust, &numbers("robust.f32")?, Tolerance::Exact, MOST);
        let distances = self.victim.distances(norm, images)?;
        let inside = distances.iter().all(|&distance| distance <= epsilon * (1.0 + 1e-6));
        report.same(&format!("{name}: points are inside the ball"), &inside, &true);
        let of_radius = |numbers: Vec<f64>| numbers.iter().map(|number| number / epsilon).collect::<Vec<_>>();
        ends.distances.extend([distances, numbers("adv_dist.f32")?, numbers("adv_dist.f64")?].map(of_radius));
        ends.take_blocks(&run.blocks(), told);
        Ok(())
    }

    /// Mean losses of the first restart's starts, and after the first step: nothing has turned yet that would send an image far.
    fn compare_beginnings(&self, run: &Run<'_>, exact: &Told, report: &mut Report) {
        let first_restart = exact.blocks.iter().enumerate().take_while(|(place, block)| block.batch == *place);
        let expected: Vec<f64> = first_restart.flat_map(|(_, block)| [block.f0, block.f1]).collect();
        let blocks = run.blocks();
        let found = blocks.iter().take(expected.len() / 2).flat_map(|block| block.iter().take(2).map(|i| i.loss));
        let found: Vec<f64> = found.collect();
        report.close(&format!("{}: first losses", run.name), &found, &expected, Tolerance::Each(SINGLE));
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
