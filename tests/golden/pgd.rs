//! `pgd.safetensors` and `pgd_art_dnn.safetensors`: projected gradient descent in three dialects.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use rrm_attacks::{Ball, Form, Pgd, Randomness, Victim as Attacked};
use rrm_spec::{Mode, Norm, PgdSelection, PgdStart, PgdTarget};

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{Victim, norm_named},
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    random_start(folder, &tensors, &mut report)?;
    compare_runs(folder, file, &tensors, &mut report)?;
    Ok(report)
}

/// ART's own, which takes the network's predictions for labels.
pub(crate) fn compare_art(folder: &Folder, file: &str) -> Result<Report> {
    let mut report = Report::default();
    compare_runs(folder, file, &folder.tensors(file)?, &mut report)?;
    Ok(report)
}

fn compare_runs(folder: &Folder, file: &str, tensors: &Tensors, report: &mut Report) -> Result<()> {
    let names = tensors.names();
    let runs = |suffix: &str| -> Vec<String> {
        let probe = format!(".probe.{suffix}");
        names.iter().filter_map(|name| name.strip_suffix(probe.as_str()).map(str::to_owned)).collect()
    };
    let mut nets: Vec<&str> = names
        .iter()
        .filter(|name| name.contains(".probe."))
        .filter_map(|name| name.split_once('.').map(|(net, _)| net))
        .collect();
    nets.dedup();
    for net in nets {
        for &arithmetic in Arithmetic::all() {
            report.begin(arithmetic);
            let victim = victim(folder, tensors, net, arithmetic)?;
            for run in runs(arithmetic.suffix()).iter().filter(|run| run.starts_with(&format!("{net}."))) {
                let run = Run::new(folder, file, tensors, &victim, run, arithmetic)?;
                arithmetic.during(|| run.compare(report))?;
            }
        }
    }
    let excused = |name: &str| [".probe.f32", ".correct.f32"].iter().any(|end| name.ends_with(end));
    tensors.all_but("a flipped sign changes it; f32 is compared by losses and distances", report, excused)
}

/// The network under attack; with the labels of the file, where that has its own.
fn victim(folder: &Folder, tensors: &Tensors, net: &str, arithmetic: Arithmetic) -> Result<Victim> {
    let mut victim = Victim::load(folder, &format!("attack_net_{net}.safetensors"), arithmetic.dtype())?;
    let own = format!("{net}.labels");
    if tensors.has(&own) {
        victim.labels = tensors.labels(&own)?;
    }
    Ok(victim)
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
    arithmetic: Arithmetic,
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
    /// ART's, of two restarts.
    Art,
    /// ART's towards the class (y+3) mod 10, of one restart: it has another rule for which of several it hands back.
    ArtTargeted,
}

impl Kind {
    fn named(name: &str) -> Result<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        Ok(match (parts.get(1), parts.get(4)) {
            (Some(&"fast_pgd"), None) => Self::Fast,
            (Some(&"madry"), Some(&"best")) => Self::Best,
            (Some(&"madry"), Some(&"last")) => Self::Last,
            (Some(&"madry"), Some(&"targeted")) => Self::Targeted,
            (Some(&"art"), Some(&"restarts")) => Self::Art,
            (Some(&"art"), Some(&"targeted")) => Self::ArtTargeted,
            _ => anyhow::bail!("unknown attack {name}"),
        })
    }

    fn is_targeted(self) -> bool {
        matches!(self, Self::Targeted | Self::ArtTargeted)
    }

    fn form(self) -> Form {
        match self {
            Self::Fast | Self::Best | Self::Last | Self::Targeted => Form::MadryLab,
            Self::Art | Self::ArtTargeted => Form::Art,
        }
    }
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
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let suffix = arithmetic.suffix();
        let entry = folder.entry(file)?;
        let parts: Vec<&str> = name.split('.').collect();
        let kind = Kind::named(name)?;
        let steps = entry.parameters["iterations"].as_u64().context("iterations")? as u32;
        let tolerance = tolerance_after(&entry.tolerance, &format!("{suffix} CE"))?;
        let probe_tolerance = tolerance_after(&entry.tolerance, "probe")?;
        let (norm, tag) = (parts[2], parts[3]);
        Ok(Self { tensors, victim, name, arithmetic, norm, tag, kind, steps, tolerance, probe_tolerance })
    }

    fn compare(&self, report: &mut Report) -> Result<()> {
        let outcome = self.attack()?;
        match self.arithmetic {
            Arithmetic::Double => self.compare_exactly(&outcome, report),
            Arithmetic::Direct | Arithmetic::Winograd => self.compare_single(&outcome, report),
        }
    }

    fn compare_exactly(&self, outcome: &Outcome, report: &mut Report) -> Result<()> {
        let losses = self.numbers("ce")?;
        report.close(&self.full("ce"), &outcome.losses, &losses, Tolerance::Scaled(self.tolerance));
        if self.kind == Kind::Fast {
            let correct = self.numbers("correct")?;
            report.close(&self.full("correct"), &as_numbers(&outcome.correct), &correct, Tolerance::Exact);
        }
        if !self.kind.is_targeted() {
            let robust = as_numbers(&self.victim.correct(&outcome.images)?);
            report.close(&self.full("robust"), &robust, &self.numbers("robust")?, Tolerance::Exact);
        }
        let distances = self.victim.distances(self.norm, &outcome.images)?;
        let tolerance = Tolerance::Absolute(self.tolerance * self.victim.epsilon(self.norm, self.tag)?);
        report.close(&self.full("dist"), &distances, &self.numbers("dist")?, tolerance);
        self.compare_images(&outcome.images, report)
    }

    /// In f32 a sign that rounding flips sends an image another way, and with it the time of its stop: PyTorch's own f32
    /// runs part from its f64 runs too. The start is held to the index.
    fn compare_single(&self, outcome: &Outcome, report: &mut Report) -> Result<()> {
        let images = self.victim.len();
        let (losses, told) = (&outcome.losses, self.numbers("ce")?);
        report.close(
            &self.full("ce of the start"),
            &losses[..images],
            &told[..images],
            Tolerance::Scaled(self.tolerance),
        );
        let (often, paths) = (self.arithmetic.as_often(), [losses.as_slice(), &told, &self.exact("ce")?]);
        report.as_often(often, &self.full("ce"), paths, Tolerance::Scaled(self.tolerance));
        if !self.kind.is_targeted() {
            let robust = as_numbers(&self.victim.correct(&outcome.images)?);
            report.mostly(&self.full("robust"), &robust, &self.numbers("robust")?, Tolerance::Exact, 0.9);
        }
        let distances = self.victim.distances(self.norm, &outcome.images)?;
        let tolerance = Tolerance::Absolute(self.tolerance * self.victim.epsilon(self.norm, self.tag)?);
        let paths = [distances.as_slice(), &self.numbers("dist")?, &self.exact("dist")?];
        report.as_often(often, &self.full("dist"), paths, tolerance);
        Ok(())
    }

    fn numbers(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(what))
    }

    /// The same of the f64 run.
    fn exact(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&format!("{}.{what}.f64", self.name))
    }

    fn full(&self, what: &str) -> String {
        format!("{}.{what}.{}", self.name, self.arithmetic.suffix())
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
            Kind::Fast => (PgdSelection::StopWhenBroken, vec![self.changed_start(0)?, self.changed_start(1)?]),
            Kind::Best => (PgdSelection::BestLoss, vec![self.victim.stored_start(self.norm, self.tag, 0)?]),
            Kind::Last => (PgdSelection::Last, vec![self.victim.stored_start(self.norm, self.tag, 0)?]),
            Kind::Targeted => (PgdSelection::BestLoss, vec![self.victim.pixels.clone()]),
            Kind::Art => (PgdSelection::Last, vec![self.changed_start(0)?, self.changed_start(1)?]),
            Kind::ArtTargeted => (PgdSelection::Last, vec![self.changed_start(0)?]),
        };
        let pgd = Pgd {
            ball: Ball { norm: norm_named(self.norm)?, epsilon },
            form: self.kind.form(),
            steps: self.steps,
            step_size: epsilon / 4.0,
            start: PgdStart::Natural, // Starts are given.
            selection,
            restarts: starts.len() as u32,
            target: PgdTarget::Untargeted, // Targets are given.
            passes: NonZeroU32::MIN,
        };
        self.follow(&pgd, &starts)
    }

    /// delta0 = f32(eps*sym('attack.start.r<r>')), for l2 of length eps, then clamped to the box.
    fn changed_start(&self, restart: usize) -> Result<Tensor> {
        let change = self.victim.generated_change(self.norm, self.tag, restart)?;
        let start = (&self.victim.pixels + change.to_dtype(self.victim.pixels.dtype())?)?;
        Ok(start.clamp(0.0, 1.0)?)
    }

    fn follow(&self, pgd: &Pgd, starts: &[Tensor]) -> Result<Outcome> {
        let targeted = self.kind.is_targeted();
        let targets: Vec<u32> = self.victim.labels.iter().map(|label| (label + 3) % 10).collect();
        let victim = if targeted {
            Attacked::towards(&self.victim.network, Mode::Eval, Some(targets.as_slice()))
        } else {
            Attacked::by_cross_entropy(&self.victim.network, Mode::Eval)
        };
        let labels = &self.victim.labels;
        let (mut losses, mut correct) = (Vec::new(), Vec::new());
        let attacked = pgd.perturb_from(&victim, &self.victim.pixels, labels, starts, &mut |pass| {
            losses.extend(pass.losses.iter().map(|loss| if targeted { -loss } else { *loss }));
            correct.extend_from_slice(pass.correct);
        })?;
        Ok(Outcome { losses, correct, images: attacked.images })
    }
}
