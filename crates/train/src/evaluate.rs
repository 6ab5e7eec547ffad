//! Evaluation of a trained network.

use rrm_data::{Images, Split, Stream};
use rrm_models::{Model, Network};
use rrm_spec::{AttackSpec, ClassAccuracy, EvaluateSpec, EvaluationRecord, Precision, Record, Through};

use crate::{
    Environment,
    device::Stopwatch,
    diagnose::{self, diagnose},
    error::{Halt, TrainError},
    measure::{Measurement, natural_accuracy, robust_accuracy},
    monitor::Monitor,
    run::started,
    source::Source,
    work,
};

/// Measures natural and robust accuracy, told in one record for each radius, the smallest first; and where the spec asks for it
/// what tells robustness from hidden gradients, in a record of its own.
///
/// An image that a smaller radius broke counts as broken at the larger ones: the point that was found lies in their balls too. Nothing
/// is concluded the other way, nor from a distance: an image counts as broken only where a point was found.
pub(crate) fn evaluate(spec: &EvaluateSpec, environment: &Environment, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
    let images = rrm_data::open(&spec.dataset, Split::Test, &environment.data_dir).map_err(TrainError::from)?;
    let source = Source::load(&spec.model, environment)?;
    source.must_take(&images, "network")?;
    source.must_classify(&images, "network")?;
    let teacher = teacher(spec, &source, &images, environment)?;
    let (attacks, classes) = (spec.attacks(), source.network.spec().classes);
    attacks[0].check_classes(classes as u32).map_err(|faults| TrainError::Attack { faults })?;
    let count = spec.images.map_or(images.len(), |count| images.len().min(count.get() as usize));
    let work = count as u64 * (1 + attacks.iter().map(work::attack).sum::<u64>());
    monitor.expect(0, work + diagnose::work(spec, &source, &images));
    monitor.record(Record::Started(started(&source.network, 1)));
    let measurement = Measurement {
        attack: None,
        teacher: teacher.as_ref(),
        images: Some(count),
        batch_size: spec.batch_size.get() as usize,
        seed: spec.seed,
        stream: Stream::AttackEvaluation,
        epoch: 0,
    };
    let mut stopwatch = Stopwatch::start(source.network.device())?;
    monitor.begin("natural images".to_owned());
    let mut outcomes = measurement.outcomes(&source.network, &images, monitor)?;
    let natural = natural_accuracy(&outcomes);
    for attack in attacks {
        monitor.begin(phase(&attack, spec));
        measurement.attack(&attack, &source.network, &images, &mut outcomes, monitor)?;
        monitor.record(Record::Evaluation(EvaluationRecord {
            attack,
            natural,
            robust: robust_accuracy(&outcomes),
            elapsed_us: stopwatch.elapsed_us()?,
            weights: source.sha256.clone(),
            classes: ClassAccuracy::of(&outcomes),
            images: outcomes.clone(),
        }));
        stopwatch = Stopwatch::start(source.network.device())?;
    }
    diagnose(spec, &source, &images, monitor)
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
