//! Evaluation of a trained network.

use rrm_data::{Split, Stream};
use rrm_models::Model;
use rrm_spec::{AttackSpec, ClassAccuracy, EvaluateSpec, EvaluationRecord, Record};

use crate::{
    Environment,
    device::Stopwatch,
    error::{Halt, TrainError},
    measure::{Measurement, natural_accuracy, robust_accuracy},
    monitor::Monitor,
    run::started,
    source::Source,
    work,
};

/// Measures natural and robust accuracy, told in one record for each radius, the smallest first.
///
/// An image that a smaller radius broke counts as broken at the larger ones: the point that was found lies in their balls too. Nothing
/// is concluded the other way, nor from a distance: an image counts as broken only where a point was found.
pub(crate) fn evaluate(spec: &EvaluateSpec, environment: &Environment, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
    let images = rrm_data::open(&spec.dataset, Split::Test, &environment.data_dir).map_err(TrainError::from)?;
    let source = Source::load(&spec.model, environment)?;
    source.must_take(&images, "network")?;
    source.must_classify(&images, "network")?;
    let (attacks, classes) = (spec.attacks(), source.network.spec().classes);
    attacks[0].check_classes(classes as u32).map_err(|faults| TrainError::Attack { faults })?;
    let count = spec.images.map_or(images.len(), |count| images.len().min(count.get() as usize));
    monitor.expect(0, count as u64 * (1 + attacks.iter().map(work::attack).sum::<u64>()));
    monitor.record(Record::Started(started(&source.network, 1)));
    let measurement = Measurement {
        attack: None,
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
    Ok(())
}

fn phase(attack: &AttackSpec, spec: &EvaluateSpec) -> String {
    match spec.epsilons.as_slice() {
        [] => attack.label(),
        _ => format!("{} at {}", attack.label(), attack.threat().epsilon),
    }
}
