//! Jobs that fail say why, and leave what was good.

use rrm_spec::{Dataset, DatasetName, FailureClass, JobSpec, Method, Record, RepresentationLoss, TrainSpec};
use rrm_train::{Environment, TrainError};

use crate::{
    dataset::Recipe,
    support::{Bench, records, rrm},
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
        temperature: 1.0,
    };
    let grey = rrm_models::Network::initialize(&spec, 1, &candle_core::Device::Cpu, candle_core::DType::F32).unwrap();
    std::fs::create_dir(bench.path("teacher")).unwrap();
    grey.save(&bench.path("teacher/final.safetensors")).unwrap();
    let spec = bench.spec("dnn/16", rrm(0.1, 1, RepresentationLoss::Cosine));
    let (error, _) = failure(spec, &bench.environment_with("work", "teacher"));
    assert!(error.to_string().contains("images of 1x32x32, those of the dataset are 3x32x32"), "{error}");
    assert_eq!(error.class(), FailureClass::User);
}
