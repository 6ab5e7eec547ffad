//! Evaluation of a trained network, from wherever an earlier attempt left off.

mod adversarial;
mod findings;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rrm_attacks::Ball;
use rrm_data::{Images, Split, Stream};
use rrm_models::{Model, Network};
use rrm_spec::{
    AttackSpec, CheckpointRecord, ClassAccuracy, EvaluateSpec, EvaluationRecord, Precision, Record, ThreatModel,
    Through,
};

use crate::{
    Environment,
    device::Stopwatch,
    diagnose::{self, diagnose},
    error::{Halt, TrainError},
    files::create_folder,
    measure::{AttackedBatch, Measurement, Onlooker, Search, natural_accuracy, robust_accuracy},
    monitor::Monitor,
    run::started,
    second_look::{self, audit},
    source::Source,
    work,
};
use findings::{Findings, Identity, Snapshot};

/// Least time between two checkpoints: each is a record in the database.
const PAUSE: Duration = Duration::from_secs(2);

/// Writing checkpoints costs at most one part in so many of the time.
const COST: u32 = 20;

/// A killed attempt loses at most one part in so many of the time that it took, or a batch: more checkpoints would only be more records.
const LOSS: u32 = 100;

/// How long after a checkpoint the next may be written.
fn rest(writing: Duration, so_far: Duration) -> Duration {
    // Tests interrupt after every batch.
    if cfg!(test) { Duration::ZERO } else { PAUSE.max(writing * COST).max(so_far / LOSS) }
}

/// Measures natural and robust accuracy, told in one record for each radius, the smallest first; and where the spec asks for it
/// what tells robustness from hidden gradients, in a record of its own.
///
/// An image that a smaller radius broke counts as broken at the larger ones: the point that was found lies in their balls too. Nothing
/// is concluded the other way, nor from a distance: an image counts as broken only where a point was found.
///
/// What has been found is written down now and then after a batch, and when the job is told to stop. Whoever goes on from there tells
/// the radii that were complete again.
pub(crate) fn evaluate(spec: &EvaluateSpec, environment: &Environment, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
    create_folder(&environment.work_dir)?;
    let images = rrm_data::open(&spec.dataset, Split::Test, &environment.data_dir).map_err(TrainError::from)?;
    let count = spec.images.map_or(images.len(), |count| images.len().min(count.get() as usize));
    let images = images.truncated(count);
    let source = Source::load(&spec.model, environment)?.at_temperature(spec.temperature);
    source.must_take(&images, "network")?;
    source.must_classify(&images, "network")?;
    let teacher = teacher(spec, &source, &images, environment)?;
    let (attacks, classes) = (spec.attacks(), source.network.spec().classes);
    attacks[0].check_classes(classes as u32).map_err(|faults| TrainError::Attack { faults })?;
    if spec.keep_images {
        adversarial::must_fit(&images)?;
    }
    let identity = Identity::new(spec, &source.sha256, &images);
    let resumed = match &environment.resume {
        Some(path) => Some(Findings::resume(path, &identity, &images)?),
        None => None,
    };
    let work = count as u64 * (1 + attacks.iter().map(work::attack).sum::<u64>());
    monitor.expect(0, work + diagnose::work(spec, &source, &images));
    let written = resumed.as_ref().map_or(0, |findings| findings.written);
    monitor.start(started(&source.network, written + 1, &identity.images_sha256));
    let measurement = Measurement {
        attack: None,
        teacher: teacher.as_ref(),
        images: None,
        batch_size: spec.batch_size.get() as usize,
        seed: spec.seed,
        stream: Stream::AttackEvaluation,
        epoch: 0,
    };
    let stopwatch = Stopwatch::start(source.network.device())?;
    let findings = match resumed {
        Some(findings) => {
            monitor.advance(0, count as u64);
            findings
        }
        None => {
            monitor.begin("natural images".to_owned());
            Findings::of(measurement.natural(&source.network, &images, monitor)?)
        }
    };
    let path = environment.work_dir.join("resume.safetensors");
    let evaluation = Evaluation { spec, images: &images, source: &source, identity, path };
    evaluation.run(&measurement, findings, stopwatch, monitor)?;
    diagnose(spec, &source, &images, monitor)
}

/// What does not change while it is made.
struct Evaluation<'a> {
    spec: &'a EvaluateSpec,
    images: &'a Images,
    source: &'a Source,
    identity: Identity,
    /// Where checkpoints go.
    path: PathBuf,
}

impl Evaluation<'_> {
    fn run(
        &self,
        measurement: &Measurement<'_>,
        findings: Findings,
        stopwatch: Stopwatch<'_>,
        monitor: &mut Monitor<'_>,
    ) -> Result<(), Halt> {
        let attacks = self.spec.attacks();
        let Findings { told, mut search, written, spent_us, book } = findings;
        let mut watch = Watch::new(self, told, written, spent_us, book, stopwatch);
        for (attack, record) in attacks.iter().zip(&watch.told) {
            monitor.advance(0, self.images.len() as u64 * work::attack(attack));
            monitor.record(Record::Evaluation(record.clone()));
        }
        for attack in attacks.iter().skip(watch.told.len()) {
            monitor.begin(phase(attack, self.spec));
            watch.threat = attack.threat();
            let network = &self.source.network;
            let attacked = measurement.attack(attack, network, self.images, &mut search, &mut watch, monitor);
            if let Err(Halt::Stopped) = &attacked
                && watch.is_unsaved
            {
                watch.save(&search, monitor)?;
            }
            attacked?;
            watch.tell(attack, &search, monitor)?;
        }
        if self.spec.keep_images {
            let path = self.path.with_file_name("adversarial.safetensors");
            let record = adversarial::write(&path, self, &search.outcomes, &watch.book, watch.written + 1)?;
            monitor.record(Record::Checkpoint(record));
        }
        Ok(())
    }
}

/// What is noted of each image that was broken, by position.
#[derive(Clone, Debug, PartialEq)]
struct Book {
    /// A second look at its adversarial image.
    looks: Vec<Option<second_look::SecondLook>>,
    /// The radius that broke it, counted from 0.
    radius: Vec<Option<u32>>,
    /// The pixels of its adversarial image, where they are kept.
    kept: Vec<Option<Vec<f32>>>,
}

impl Book {
    /// Of so many images nothing is noted yet.
    fn of(images: usize) -> Self {
        Self { looks: vec![None; images], radius: vec![None; images], kept: vec![None; images] }
    }
}

/// Looks on: notes what was broken, and writes down now and then how far the search has come.
struct Watch<'a> {
    evaluation: &'a Evaluation<'a>,
    told: Vec<EvaluationRecord>,
    book: Book,
    /// The present radius.
    threat: &'a ThreatModel,
    /// Checkpoints so far, those of earlier attempts included.
    written: u32,
    /// Time that earlier attempts spent on the present radius.
    spent_us: u64,
    stopwatch: Stopwatch<'a>,
    begun: Instant,
    saved: Instant,
    rest: Duration,
    is_unsaved: bool,
}

impl<'a> Watch<'a> {
    fn new(
        evaluation: &'a Evaluation<'a>,
        told: Vec<EvaluationRecord>,
        written: u32,
        spent_us: u64,
        book: Book,
        stopwatch: Stopwatch<'a>,
    ) -> Self {
        let threat = evaluation.spec.attack.threat();
        let begun = Instant::now();
        let (saved, rest, is_unsaved) = (begun, rest(Duration::ZERO, Duration::ZERO), false);
        Self { evaluation, told, book, threat, written, spent_us, stopwatch, begun, saved, rest, is_unsaved }
    }

    /// Looks a second time at what was broken.
    fn note(&mut self, batch: &AttackedBatch<'_>) -> Result<(), TrainError> {
        let rows: Vec<usize> =
            (0..batch.positions.len()).filter(|&row| batch.attacked.broken_by[row].is_some()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let index: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let index = candle_core::Tensor::new(index, batch.natural.device())?;
        let broken = batch.attacked.images.detach().index_select(&index, 0)?;
        let natural = batch.natural.index_select(&index, 0)?;
        let labels: Vec<u32> = rows.iter().map(|&row| batch.labels[row]).collect();
        let ball = Ball::from(self.threat);
        let looks = second_look::look(batch.victim, ball, &broken, &natural, &labels)?;
        let mut pixels = match self.evaluation.spec.keep_images {
            true => broken.flatten_from(1)?.to_vec2::<f32>()?,
            false => Vec::new(),
        };
        for (n, row) in rows.into_iter().enumerate() {
            let position = batch.positions[row];
            self.book.looks[position] = Some(looks[n]);
            self.book.radius[position] = Some(self.told.len() as u32);
            self.book.kept[position] = pixels.get_mut(n).map(std::mem::take);
        }
        Ok(())
    }

    fn save(&mut self, search: &Search, monitor: &mut Monitor<'_>) -> Result<(), TrainError> {
        let asked = Instant::now();
        self.written += 1;
        let record = self.checkpoint(search)?;
        (self.saved, self.rest) = (Instant::now(), rest(asked.elapsed(), self.begun.elapsed()));
        self.is_unsaved = false;
        monitor.record(Record::Checkpoint(record));
        Ok(())
    }

    fn checkpoint(&self, search: &Search) -> Result<CheckpointRecord, TrainError> {
        let snapshot = Snapshot {
            told: &self.told,
            search,
            written: self.written,
            spent_us: self.spent_us + self.stopwatch.elapsed_us()?,
            book: &self.book,
        };
        snapshot.save(&self.evaluation.path, &self.evaluation.identity)
    }

    /// Tells what came of a radius, and begins the next.
    fn tell(&mut self, attack: &AttackSpec, search: &Search, monitor: &mut Monitor<'_>) -> Result<(), TrainError> {
        let outcomes = &search.outcomes;
        let record = EvaluationRecord {
            attack: attack.clone(),
            natural: natural_accuracy(outcomes),
            robust: robust_accuracy(outcomes),
            elapsed_us: self.spent_us + self.stopwatch.elapsed_us()?,
            weights: self.evaluation.source.sha256.clone(),
            classes: ClassAccuracy::of(outcomes),
            images: outcomes.clone(),
            audit: Some(audit(outcomes, &self.book.looks)),
        };
        self.told.push(record.clone());
        (self.spent_us, self.stopwatch) = (0, Stopwatch::start(self.evaluation.source.network.device())?);
        monitor.record(Record::Evaluation(record));
        Ok(())
    }
}

impl Onlooker for Watch<'_> {
    fn attacked(&mut self, batch: &AttackedBatch<'_>, search: &Search, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        self.note(batch)?;
        self.is_unsaved = true;
        if self.saved.elapsed() >= self.rest {
            self.save(search, monitor)?;
        }
        Ok(())
    }
}

/// The network that the evaluated one has learned from, where the attack is to know it.
fn teacher(
    spec: &EvaluateSpec,
    evaluated: &Source,
    images: &Images,
    environment: &Environment,
) -> Result<Option<Network>, TrainError> {
    let Some(model) = &spec.teacher else { return Ok(None) };
    let source = Source::load(model, environment)?;
    source.must_take(images, "teacher")?;
    source.must_classify(images, "teacher")?;
    if spec.attack.through_teacher().is_some_and(Through::compares_representations) {
        evaluated.must_represent_like(&source)?;
    }
    Ok(Some(source.network.frozen().with_precision(Precision::F32)))
}

fn phase(attack: &AttackSpec, spec: &EvaluateSpec) -> String {
    match spec.epsilons.as_slice() {
        [] => attack.label(),
        _ => format!("{} at {}", attack.label(), attack.threat().epsilon),
    }
}
