//! Jobs that fail say why, and leave what was good.

use rrm_spec::{Dataset, DatasetName, FailureClass, JobSpec, Method, Record, RepresentationLoss, Schedule, TrainSpec};
use rrm_train::{Environment, TrainError};

use crate::{
    dataset::Recipe,
    support::{Bench, count, records, rrm},
};

fn failure(spec: TrainSpec, environment: &Environment) -> (TrainError, Vec<Record>) {
    let (outcome, told) = records(&JobSpec::Train(spec), environment, |_| false);
    (outcome.unwrap_err(), told)
}

#[test]
fn a_missing_dataset_is_the_machines_fault_and_says_how_to_fetch_it() {
    let bench = Bench::new(Recipe::EASY);
    let dataset = Dataset { name: DatasetName::Cifar10, train_images: None };
    let spec = TrainSpec { dataset, ..bench.spec("dnn/16", Method::Natural) };
    let (error, told) = failure(spec, &bench.environment("work"));
    assert!(error.to_string().contains("rrm data fetch"), "{error}");
    assert_eq!((error.class(), told.len()), (FailureClass::Machine, 0));
}

#[test]
fn a_teacher_that_was_not_handed_over_is_named() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", rrm(0.1, 1, RepresentationLoss::Cosine));
    let (error, _) = failure(spec, &bench.environment("work"));
    assert!(error.to_string().contains("`#1`") && error.to_string().contains("--input"), "{error}");
    assert_eq!(error.class(), FailureClass::User);
}

#[test]
fn a_teacher_of_another_kind_of_image_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = rrm_models::NetworkSpec {
        arch: "dnn/16".parse().unwrap(),
        channels: 1,
        classes: 2,
        normalization: rrm_spec::Normalization::Identity,
        representation_width: 32,
    };
    let grey = rrm_models::Network::initialize(&spec, 1, &candle_core::Device::Cpu, candle_core::DType::F32).unwrap();
    std::fs::create_dir(bench.path("teacher")).unwrap();
    grey.save(&bench.path("teacher/final.safetensors")).unwrap();
    let spec = bench.spec("dnn/16", rrm(0.1, 1, RepresentationLoss::Cosine));
    let (error, _) = failure(spec, &bench.environment_with("work", "teacher"));
    assert!(error.to_string().contains("images of 1x32x32, those of the dataset are 3x32x32"), "{error}");
    assert_eq!(error.class(), FailureClass::User);
}

#[test]
fn a_diverging_training_stops_and_keeps_its_last_good_checkpoint() {
    let bench = Bench::new(Recipe::EASY);
    let mut spec = TrainSpec { epochs: count(40), batch_size: count(8), ..bench.spec("dnn/16", Method::Natural) };
    // The decay alone multiplies every weight by -9 per step.
    (spec.optimizer.learning_rate, spec.optimizer.weight_decay) = (10.0, 1.0);
    (spec.optimizer.momentum, spec.optimizer.schedule) = (0.0, Schedule::Constant);
    let (error, told) = failure(spec, &bench.environment("work"));
    let TrainError::Diverged { epoch, step, .. } = error else { panic!("{error}") };
    assert_eq!(error.class(), FailureClass::Diverged);
    assert!(error.to_string().contains(&format!("epoch {epoch}, step {step}")), "{error}");
    let Some(Record::Checkpoint(last)) = told.last() else { panic!("{told:?}") };
    assert_eq!(last.epoch, epoch - 1);
    assert!(last.path.exists());
}

#[test]
fn weights_that_overflow_in_the_last_step_are_not_saved() {
    let bench = Bench::new(Recipe::EASY);
    let mut spec = TrainSpec { batch_size: count(64), ..bench.spec("dnn/16", Method::Natural) };
    // One update per epoch: its loss is finite, the weights after it are not.
    (spec.optimizer.learning_rate, spec.optimizer.weight_decay) = (3e38, 1000.0);
    let (error, told) = failure(spec, &bench.environment("work"));
    let TrainError::Diverged { epoch: 1, step: 1, ref what } = error else { panic!("{error}") };
    assert!(what.contains("`features.0."), "{what}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!bench.path("work/resume.safetensors").exists());
}
