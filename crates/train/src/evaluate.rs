//! Evaluation of a trained network.

use rrm_data::{Split, Stream};
use rrm_models::Model;
use rrm_spec::{ClassAccuracy, EvaluateSpec, EvaluationRecord, Record};

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

/// Measures natural and robust accuracy, told in one record at the end.
pub(crate) fn evaluate(spec: &EvaluateSpec, environment: &Environment, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
    let EvaluateSpec { model, dataset, images: count, attack, batch_size, seed } = spec;
    let images = rrm_data::open(dataset, Split::Test, &environment.data_dir).map_err(TrainError::from)?;
    let source = Source::load(model, environment)?;
    source.must_take(&images, "network")?;
    source.must_classify(&images, "network")?;
    let count = count.map_or(images.len(), |count| images.len().min(count.get() as usize));
    monitor.expect(0, count as u64 * work::measurement(Some(attack)));
    monitor.record(Record::Started(started(&source.network, 1)));
    monitor.begin(attack.label());
    let measurement = Measurement {
        attack: Some(attack),
        images: Some(count),
        batch_size: batch_size.get() as usize,
        seed: *seed,
        stream: Stream::AttackEvaluation,
        epoch: 0,
    };
    let stopwatch = Stopwatch::start(source.network.device())?;
    let outcomes = measurement.outcomes(&source.network, &images, monitor)?;
    monitor.record(Record::Evaluation(EvaluationRecord {
        attack: attack.clone(),
        natural: natural_accuracy(&outcomes),
        robust: robust_accuracy(&outcomes),
        elapsed_us: stopwatch.elapsed_us()?,
        weights: source.sha256,
        classes: ClassAccuracy::of(&outcomes),
        images: outcomes,
    }));
    Ok(())
}
