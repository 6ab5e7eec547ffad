//! Whether a network's robustness is its own or one of hidden gradients: what is measured. What it means is for reports to say.
//!
//! Every number has a name, see `docs/diagnostics.md`. All attacks are made on the natural images that are classified correctly,
//! each by itself: no attack profits from what another found.

mod battery;
mod forward;
mod scaled;

use candle_core::DType;
use rrm_attacks::{Attack, AttackRng};
use rrm_data::{Images, Stream, natural_batch};
use rrm_models::{Model, Network};
use rrm_spec::{AttackSpec, Diagnostic, DiagnosticsRecord, EvaluateSpec, Mode, Precision, Record};

use crate::{
    device::Stopwatch,
    error::{Halt, TrainError},
    monitor::Monitor,
    source::Source,
    step::TrainBatch,
    work,
};
use battery::Battery;
use scaled::Scaled;

/// The work of all measurements, in forward passes of one image; 0 where none was asked for.
pub(crate) fn work(spec: &EvaluateSpec, source: &Source, images: &Images) -> u64 {
    let battery = Battery::of(spec, source.network.spec().classes, images.shape().image_len());
    count(spec, images) as u64 * battery.attacks().iter().map(work::attack).sum::<u64>()
}

/// How many images are looked at.
fn count(spec: &EvaluateSpec, images: &Images) -> usize {
    spec.diagnostics.map_or(0, |count| images.len().min(count.get() as usize))
}

/// Measures what a spec asks for, told in one record; nothing where it asks for nothing.
pub(crate) fn diagnose(
    spec: &EvaluateSpec,
    source: &Source,
    images: &Images,
    monitor: &mut Monitor<'_>,
) -> Result<(), Halt> {
    let count = count(spec, images);
    if count == 0 {
        return Ok(());
    }
    let stopwatch = Stopwatch::start(source.network.device())?;
    let battery = Battery::of(spec, source.network.spec().classes, images.shape().image_len());
    let mut bench = Bench::new(spec, &source.network, images, count);
    bench.look(monitor)?;
    bench.attack(&battery, monitor)?;
    monitor.record(Record::Diagnostics(DiagnosticsRecord {
        weights: source.sha256.clone(),
        threat: battery.threat().clone(),
        elapsed_us: stopwatch.elapsed_us()?,
        numbers: bench.numbers,
    }));
    Ok(())
}

/// A network on its images, and what has been measured of it.
struct Bench<'a> {
    spec: &'a EvaluateSpec,
    /// Frozen, and in f32.
    victim: Network,
    images: &'a Images,
    count: usize,
    /// Positions of the images that are classified correctly as they are.
    correct: Vec<u32>,
    numbers: Vec<Diagnostic>,
}

/// The restart that broke each image that was attacked, in the order of [`Bench::correct`].
type Broken = Vec<Option<u32>>;

fn robust(broken: &Broken) -> usize {
    broken.iter().filter(|restart| restart.is_none()).count()
}

impl<'a> Bench<'a> {
    fn new(spec: &'a EvaluateSpec, network: &Network, images: &'a Images, count: usize) -> Self {
        let victim = network.frozen().with_precision(Precision::F32);
        Self { spec, victim, images, count, correct: Vec::new(), numbers: Vec::new() }
    }

    fn tell(&mut self, name: impl Into<String>, value: f64, detail: impl Into<String>) {
        self.numbers.push(Diagnostic::new(name, value, detail));
    }

    fn tell_count(&mut self, name: impl Into<String>, count: usize, detail: impl Into<String>) {
        self.tell(name, count as f64, detail);
    }

    fn batch(&self, positions: &[u32]) -> Result<TrainBatch, Halt> {
        let batch = natural_batch(self.images, positions).map_err(TrainError::from)?;
        Ok(TrainBatch::new(batch, 0, self.victim.device(), DType::F32)?)
    }

    fn batch_size(&self) -> usize {
        self.spec.batch_size.get() as usize
    }

    /// Makes all attacks.
    fn attack(&mut self, battery: &Battery, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        let white = self.broken(&battery.white, 1.0, monitor)?;
        self.restarts(battery, &white);
        self.tell_count("apgd-ce.robust", robust(&white), battery.white.label());
        let dlr = battery.dlr.as_ref().map(|dlr| self.broken(dlr, 1.0, monitor)).transpose()?;
        if let (Some(spec), Some(broken)) = (&battery.dlr, &dlr) {
            self.tell_count("apgd-dlr.robust", robust(broken), spec.label());
        }
        self.black_box(battery, [Some(&white), dlr.as_ref()], monitor)?;
        let single: Broken = white.iter().map(|restart| restart.filter(|&restart| restart == 0)).collect();
        self.ladder(battery, &single, monitor)?;
        self.radii(battery, &single, monitor)
    }

    fn restarts(&mut self, battery: &Battery, white: &Broken) {
        for restart in 0..battery.restarts() {
            let broken = white.iter().filter(|by| **by == Some(restart)).count();
            self.tell_count(format!("restart.{}.broken", restart + 1), broken, "images that no earlier restart broke");
        }
    }

    /// An attack without gradients, and what it alone breaks.
    fn black_box(
        &mut self,
        battery: &Battery,
        by_gradient: [Option<&Broken>; 2],
        monitor: &mut Monitor<'_>,
    ) -> Result<(), Halt> {
        let square = &battery.square;
        let broken = self.broken(square, 1.0, monitor)?;
        let left = |i: usize| by_gradient.iter().flatten().all(|other| other[i].is_none());
        let only = (0..broken.len()).filter(|&i| broken[i].is_some() && left(i)).count();
        self.tell_count("square.robust", robust(&broken), square.label());
        self.tell_count("square.only", only, "images that no attack by gradient broke");
        Ok(())
    }

    /// The same attack with the logits multiplied; every image's starting point is the same on every rung.
    fn ladder(&mut self, battery: &Battery, single: &Broken, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        let mut worst = vec![false; single.len()];
        for &(name, scale) in battery::SCALES {
            let broken = if scale == 1.0 { single.clone() } else { self.broken(&battery.single, scale, monitor)? };
            worst.iter_mut().zip(&broken).for_each(|(worst, by)| *worst |= by.is_some());
            self.tell_count(format!("ladder.x{name}.robust"), robust(&broken), battery.single.label());
        }
        let survivors = worst.iter().filter(|broken| !**broken).count();
        self.tell_count("ladder.worst.robust", survivors, "images that no rung broke");
        Ok(())
    }

    fn radii(&mut self, battery: &Battery, single: &Broken, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        for (name, attack) in &battery.radii {
            let is_own = attack.threat() == battery.threat();
            let broken = if is_own { single.clone() } else { self.broken(attack, 1.0, monitor)? };
            let epsilon = attack.threat().epsilon.value();
            self.tell(format!("radius.{name}.epsilon"), epsilon, "");
            self.tell_count(format!("radius.{name}.robust"), robust(&broken), attack.label());
        }
        Ok(())
    }

    /// Which images an attack breaks where the logits are multiplied by `scale`.
    fn broken(&self, spec: &AttackSpec, scale: f64, monitor: &mut Monitor<'_>) -> Result<Broken, Halt> {
        let by_scale = if scale == 1.0 { String::new() } else { format!(", logits times {scale}") };
        monitor.begin(format!("diagnostics: {}{by_scale}", spec.label()));
        let (attack, work) = (rrm_attacks::build(spec), work::attack(spec));
        let victim = monitor.interruptible(&self.victim);
        let victim = Scaled { network: &victim, scale };
        monitor.advance(0, (self.count - self.correct.len()) as u64 * work);
        let mut broken = Broken::new();
        for positions in self.correct.chunks(self.batch_size()) {
            monitor.proceed()?;
            broken.extend(self.attack_batch(attack.as_ref(), &victim, positions)?);
            monitor.advance(positions.len() as u64, positions.len() as u64 * work);
        }
        Ok(broken)
    }

    fn attack_batch(&self, attack: &dyn Attack, victim: &dyn Model, positions: &[u32]) -> Result<Broken, Halt> {
        let batch = self.batch(positions)?;
        let rng = AttackRng { seed: self.spec.seed, stream: Stream::AttackEvaluation, epoch: 0, images: positions };
        Ok(attack.perturb(victim, Mode::Eval, &batch.pixels, &batch.classes, &rng)?.broken_by)
    }
}
