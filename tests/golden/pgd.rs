//! `pgd.safetensors`: projected gradient descent in two dialects.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use rrm_attacks::{Ball, Form, Pgd, Randomness, Victim as Attacked};
use rrm_losses::cross_entropy;
use rrm_spec::{Mode, Norm, PgdSelection, PgdStart};

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{NUMBER_TYPES, Victim, norm_named},
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    random_start(folder, &tensors, &mut report)?;
    let names = tensors.names();
    let runs = |suffix: &str| -> Vec<String> {
        let probe = format!(".probe.{suffix}");
        names.iter().filter_map(|name| name.strip_suffix(probe.as_str()).map(str::to_owned)).collect()
    };
    let mut nets: Vec<&str> =
        names.iter().filter_map(|name| name.split_once(".fast_pgd").map(|(net, _)| net)).collect();
    nets.dedup();
    for net in nets {
        for (dtype, suffix) in NUMBER_TYPES {
            let victim = Victim::load(folder, &format!("attack_net_{net}.safetensors"), dtype)?;
            let runs = runs(suffix);
            for run in runs.iter().filter(|run| run.starts_with(&format!("{net}."))) {
                Run::new(folder, file, &tensors, &victim, run, suffix)?.compare(&mut report)?;
            }
        }
    }
    // Where f32 ends is compared by its losses and distances.
    tensors.all_but(|name| name.ends_with(".probe.f32"))?;
    Ok(report)
}

fn as_numbers(flags: &[bool]) -> Vec<f64> {
    flags.iter().map(|&flag| if flag { 1.0 } else { 0.0 }).collect()
}

/// Numbers in their order, in place of random ones.
pub(crate) struct Given<I>(pub(crate) I);

impl<I: Iterator<Item = f64>> Randomness for Given<I> {
    fn uniform(&mut self) -> f64 {
        self.0.next().expect("a start asks for one number per pixel")
    }

    fn normal(&mut self) -> f64 {
        self.uniform()
    }
}

/// MadryLab's random starts, with the streams that the index names in place of random numbers.
fn random_start(folder: &Folder, tensors: &Tensors, report: &mut Report) -> Result<()> {
    const EPSILON: f64 = 0.3;
    let shape = tensors.get("random_perturb.LinfStep")?.dims().to_vec();
    let count: usize = shape.iter().product();
    let generator = folder.generator();
    let x = Tensor::from_vec(generator.u01("rs.x", count), shape.as_slice(), &Device::Cpu)?;
    let image = count / shape[0];
    for (name, norm, start, numbers) in [
        ("random_perturb.LinfStep", Norm::Linf, PgdStart::Uniform, generator.u01("rs.r", count)),
        ("random_perturb.L2Step", Norm::L2, PgdStart::Sphere, generator.sym("rs.r", count)),
    ] {
        let ball = Ball { norm, epsilon: EPSILON };
        let random = |row: usize| Given(numbers[row * image..][..image].iter().copied());
        let found = flat(&ball.random_start(Form::MadryLab, start, &x, random)?)?;
        report.close(name, &found, &tensors.numbers(name)?, Tolerance::Absolute(1e-12));
    }
    Ok(())
}

/// One attack, named like `dnn.madry.L2.small.best` or `dnn.fast_pgd.Linf.big`.
struct Run<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    name: &'a str,
    suffix: &'a str,
    norm: &'a str,
    tag: &'a str,
    kind: Kind,
    steps: u32,
    tolerance: f64,
    probe_tolerance: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fast,
    Best,
    Last,
    /// Towards the class (y+3) mod 10, from the natural image.
    Targeted,
}

/// What an attack did: its forward passes and its result.
struct Outcome {
    losses: Vec<f64>,
    correct: Vec<bool>,
    images: Tensor,
}

impl<'a> Run<'a> {
    fn new(
        folder: &Folder,
        file: &str,
        tensors: &'a Tensors,
        victim: &'a Victim,
        name: &'a str,
        suffix: &'a str,
    ) -> Result<Self> {
        let entry = folder.entry(file)?;
        let parts: Vec<&str> = name.split('.').collect();
        let kind = match (parts.get(1), parts.get(4)) {
            (Some(&"fast_pgd"), None) => Kind::Fast,
            (Some(&"madry"), Some(&"best")) => Kind::Best,
            (Some(&"madry"), Some(&"last")) => Kind::Last,
            (Some(&"madry"), Some(&"targeted")) => Kind::Targeted,
            _ => anyhow::bail!("unknown attack {name}"),
        };
        let steps = entry.parameters["iterations"].as_u64().context("iterations")? as u32;
        let tolerance = tolerance_after(&entry.tolerance, &format!("{suffix} CE"))?;
        let probe_tolerance = tolerance_after(&entry.tolerance, "probe")?;
        let (norm, tag) = (parts[2], parts[3]);
        Ok(Self { tensors, victim, name, suffix, norm, tag, kind, steps, tolerance, probe_tolerance })
    }

    fn compare(&self, report: &mut Report) -> Result<()> {
        let outcome = self.attack()?;
        let losses = self.tensors.numbers(&self.full("ce"))?;
        let correct = if self.kind == Kind::Fast { Some(self.tensors.numbers(&self.full("correct"))?) } else { None };
        let robust = if self.kind == Kind::Targeted { None } else { Some(self.tensors.numbers(&self.full("robust"))?) };
        let distances = self.tensors.numbers(&self.full("dist"))?;
        let found_robust = as_numbers(&self.victim.correct(&outcome.images)?);
        let found_distances = self.victim.distances(self.norm, &outcome.images)?;
        let radius = self.victim.epsilon(self.norm, self.tag)?;
        if self.suffix == "f32" {
            // A sign that rounding flips sends an image another way, and with it the time of its stop.
            let images = self.victim.len();
            let start = (&outcome.losses[..images], &losses[..images]);
            report.close(&self.full("ce of the start"), start.0, start.1, Tolerance::Scaled(self.tolerance));
            if outcome.losses.len() == losses.len() {
                report.mostly(&self.full("ce"), &outcome.losses, &losses, Tolerance::Scaled(self.tolerance), 0.75);
            }
            robust
                .iter()
                .for_each(|robust| report.mostly(&self.full("robust"), &found_robust, robust, Tolerance::Exact, 0.9));
            let tolerance = Tolerance::Absolute(self.tolerance * radius);
            report.mostly(&self.full("dist"), &found_distances, &distances, tolerance, 0.75);
            return Ok(());
        }
        report.close(&self.full("ce"), &outcome.losses, &losses, Tolerance::Scaled(self.tolerance));
        if let Some(correct) = correct {
            report.close(&self.full("correct"), &as_numbers(&outcome.correct), &correct, Tolerance::Exact);
        }
        if let Some(robust) = robust {
            report.close(&self.full("robust"), &found_robust, &robust, Tolerance::Exact);
        }
        let tolerance = Tolerance::Absolute(self.tolerance * radius);
        report.close(&self.full("dist"), &found_distances, &distances, tolerance);
        self.compare_images(&outcome.images, report)
    }

    fn full(&self, what: &str) -> String {
        format!("{}.{what}.{}", self.name, self.suffix)
    }

    fn compare_images(&self, images: &Tensor, report: &mut Report) -> Result<()> {
        let expected = self.tensors.numbers(&self.full("probe"))?;
        let tolerance = Tolerance::Absolute(self.probe_tolerance);
        report.close(&self.full("probe"), &self.victim.probes(images)?, &expected, tolerance);
        let shown = format!("{}.adv_img0_5", self.name);
        let found = flat(&Tensor::cat(&[images.narrow(0, 0, 1)?, images.narrow(0, 5, 1)?], 0)?)?;
        report.close(&shown, &found, &self.tensors.numbers(&shown)?, Tolerance::Absolute(1e-7)); // Stored in f32.
        Ok(())
    }

    fn attack(&self) -> Result<Outcome> {
        let epsilon = self.victim.epsilon(self.norm, self.tag)?;
        let (selection, starts) = match self.kind {
            Kind::Fast => (PgdSelection::StopWhenBroken, vec![self.fast_start(0)?, self.fast_start(1)?]),
            Kind::Best => (PgdSelection::BestLoss, vec![self.victim.stored_start(self.norm, self.tag, 0)?]),
            Kind::Last => (PgdSelection::Last, vec![self.victim.stored_start(self.norm, self.tag, 0)?]),
            Kind::Targeted => (PgdSelection::BestLoss, vec![self.victim.pixels.clone()]),
        };
        let pgd = Pgd {
            ball: Ball { norm: norm_named(self.norm)?, epsilon },
            steps: self.steps,
            step_size: epsilon / 4.0,
            start: PgdStart::Natural, // Starts are given.
            selection,
            restarts: starts.len() as u32,
        };
        self.follow(&pgd, &starts)
    }

    /// delta0 = f32(eps*sym('attack.start.r<r>')), then clamped to the box.
    fn fast_start(&self, restart: usize) -> Result<Tensor> {
        let change = self.victim.generated_change(self.norm, self.tag, restart)?;
        let start = (&self.victim.pixels + change.to_dtype(self.victim.pixels.dtype())?)?;
        Ok(start.clamp(0.0, 1.0)?)
    }

    fn follow(&self, pgd: &Pgd, starts: &[Tensor]) -> Result<Outcome> {
        let away = |logits: &Tensor, labels: &Tensor| cross_entropy(logits, labels);
        let towards = |logits: &Tensor, labels: &Tensor| cross_entropy(logits, labels)?.neg();
        let targeted = self.kind == Kind::Targeted;
        let victim = Attacked {
            model: &self.victim.network,
            mode: Mode::Eval,
            objective: if targeted { &towards } else { &away },
        };
        let labels: Vec<u32> = match self.kind {
            Kind::Targeted => self.victim.labels.iter().map(|label| (label + 3) % 10).collect(),
            _ => self.victim.labels.clone(),
        };
        let (mut losses, mut correct) = (Vec::new(), Vec::new());
        let attacked = pgd.perturb_from(&victim, &self.victim.pixels, &labels, starts, &mut |pass| {
            losses.extend(pass.losses.iter().map(|loss| if targeted { -loss } else { *loss }));
            correct.extend_from_slice(pass.correct);
        })?;
        Ok(Outcome { losses, correct, images: attacked.images })
    }
}
