//! A training that leaves the finite numbers stops there, says where that was, and leaves what was good.

use candle_core::{DType, Tensor};
use rrm_kernels::first_not_finite;
use rrm_models::{Model, Network};
use rrm_spec::{
    CheckpointRecord, FailureClass, JobSpec, Method, Mode, Record, RepresentationLoss, Schedule, TrainSpec,
};
use rrm_train::{Environment, NotFinite, Student, TrainBatch, TrainError, UpdateError, step};

use crate::{
    dataset::Recipe,
    support::{Bench, batch, bytes, count, network, records, rrm, sat, state, student},
};

/// Where a job that diverges does so, and the last checkpoint before.
fn divergence(
    spec: &TrainSpec,
    environment: &Environment,
) -> (u32, u64, NotFinite, Option<CheckpointRecord>, Vec<Record>) {
    let (outcome, told) = records(&JobSpec::Train(spec.clone()), environment, |_| false);
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), FailureClass::Diverged);
    let text = error.to_string();
    let TrainError::Diverged { epoch, step, what } = error else { panic!("{error}") };
    assert!(text.contains(&format!("epoch {epoch}, step {step}: {what}")), "{text}");
    let checkpoint = told.iter().rev().find_map(|record| match record {
        Record::Checkpoint(checkpoint) => Some(checkpoint.clone()),
        _ => None,
    });
    (epoch, step, what, checkpoint, told)
}

/// A job whose decay alone multiplies every weight by -9 per step.
fn growing(spec: TrainSpec) -> TrainSpec {
    let mut spec = TrainSpec { epochs: count(40), batch_size: count(8), ..spec };
    (spec.optimizer.learning_rate, spec.optimizer.weight_decay) = (10.0, 1.0);
    (spec.optimizer.momentum, spec.optimizer.schedule) = (0.0, Schedule::Constant);
    spec
}

#[test]
fn a_diverging_training_keeps_a_last_checkpoint_that_is_finite_and_loads() {
    let bench = Bench::new(Recipe::EASY);
    let spec = growing(bench.spec("dnn/16", Method::Natural));
    let (epoch, step, what, checkpoint, _) = divergence(&spec, &bench.environment("work"));
    let checkpoint = checkpoint.expect("some epochs went well");
    assert_eq!(checkpoint.epoch, epoch - 1);
    assert!(matches!(what, NotFinite::Output { .. } | NotFinite::Gradient { .. }), "{what}");

    let file = bytes(&checkpoint.path);
    let tensors = candle_core::safetensors::load_buffer(&file, &candle_core::Device::Cpu).unwrap();
    let floats: Vec<&Tensor> = tensors.values().filter(|tensor| tensor.dtype() == DType::F32).collect();
    assert!(floats.len() >= 32, "weights and momentum of eight layers, not {}", floats.len());
    assert_eq!(first_not_finite(floats).unwrap(), None);

    // Who tries again goes on from there, and ends at the same place; the checkpoint stays what it was.
    let again = Environment { resume: Some(checkpoint.path.clone()), ..bench.environment("again") };
    let (same_epoch, same_step, same, none, told) = divergence(&spec, &again);
    // As texts, in which a NaN equals itself.
    assert_eq!((same_epoch, same_step, same.to_string(), none), (epoch, step, what.to_string(), None));
    assert!(matches!(&told[..], [Record::Started(started)] if started.first_epoch == epoch), "{told:?}");
    assert_eq!(bytes(&checkpoint.path), file);
}

#[test]
fn an_absurd_learning_rate_ends_every_kind_of_network_and_method_at_a_named_layer() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/16", Method::Natural), &bench.environment("teacher"));
    let methods = [
        ("dnn/16", Method::Natural),
        ("vgg11/16", sat("8/255", "2/255", 2)),
        ("resnet18/16", rrm(5e-3, 2, RepresentationLoss::Cosine)),
    ];
    for (i, (arch, method)) in methods.into_iter().enumerate() {
        let mut spec = bench.spec(arch, method);
        spec.optimizer.learning_rate = 1e30;
        let work = format!("work-{i}");
        let (epoch, step, what, checkpoint, _) = divergence(&spec, &bench.environment_with(&work, "teacher"));
        assert_eq!((epoch, checkpoint), (1, None), "{arch}");
        assert!((1..=3).contains(&step), "{arch}: step {step}");
        let (NotFinite::Output { layer: name, .. }
        | NotFinite::Gradient { parameter: name }
        | NotFinite::State { tensor: name }) = &what
        else {
            panic!("{arch}: {what}")
        };
        let network = network(arch, 1, 32);
        assert!(network.state().iter().any(|(key, _)| key.starts_with(name.as_str())), "{arch}: {what}");
    }
}

#[test]
fn weights_that_overflow_in_the_last_step_are_not_saved() {
    let bench = Bench::new(Recipe::EASY);
    let mut spec = TrainSpec { batch_size: count(64), ..bench.spec("dnn/16", Method::Natural) };
    // One update per epoch: its loss is finite, the weights after it are not.
    (spec.optimizer.learning_rate, spec.optimizer.weight_decay) = (3e38, 1000.0);
    let (epoch, step, what, checkpoint, told) = divergence(&spec, &bench.environment("work"));
    assert_eq!((epoch, step, checkpoint, told.len()), (1, 1, None, 1));
    assert_eq!(what, NotFinite::State { tensor: "features.0.weight".to_owned() });
    assert!(!bench.path("work/resume.safetensors").exists());
}

/// What a natural step on `batch` says of its end.
fn told(student: &mut Student, batch: &TrainBatch) -> NotFinite {
    match step::build(&Method::Natural, None, 0).step(student, batch).unwrap_err() {
        UpdateError::NotFinite(what) => what,
        UpdateError::Compute(error) => panic!("{error}"),
    }
}

/// Replaces the first number of a parameter or running statistic by NaN.
fn spoil(network: &Network, name: &str) {
    let (_, tensor) = network.state().into_iter().find(|(key, _)| key == name).expect("the network has it");
    let nan = Tensor::full(f64::NAN, 1, tensor.device()).unwrap();
    tensor.flatten_all().unwrap().slice_set(&nan, 0, 0).unwrap();
}

#[test]
fn the_first_layer_with_a_spoilt_output_is_named_and_no_weight_changes() {
    for (arch, tensor, layer) in [
        ("dnn/16", "features.5.weight", "features.5"),
        ("dnn/16", "classifier.bias", "classifier"),
        ("vgg11/16", "features.9.bias", "features.9"),
        ("resnet18/16", "layer2.0.shortcut.0.weight", "layer2.0.shortcut.0"),
        ("preactresnet18/16", "layer1.0.bn1.weight", "layer1.0.bn1"),
        ("preactresnet18/16", "layer2.0.shortcut.0.weight", "layer2.0.shortcut.0"),
        ("preactresnet18/16", "layer3.1.conv2.weight", "layer3.1.conv2"),
    ] {
        let mut student = student(network(arch, 2, 32), 1, 2);
        let weights = |student: &Student| -> Vec<(String, String)> {
            let all = state(student.network()).into_iter();
            let weights = all.filter(|(key, _)| !key.contains("running") && !key.contains("batches"));
            // As texts, in which a NaN equals itself.
            weights.map(|(key, numbers)| (key, format!("{numbers:?}"))).collect()
        };
        spoil(student.network(), tensor);
        let before = weights(&student);
        let what = told(&mut student, &batch());
        let NotFinite::Output { loss, layer: named } = &what else { panic!("{arch}: {what}") };
        assert_eq!((loss.is_nan(), named.as_str()), (true, layer), "{arch}");
        assert!(what.to_string().contains(&format!("`{layer}`")), "{what}");
        assert_eq!((student.step(), weights(&student)), (0, before), "{arch}");
    }
}

#[test]
fn spoilt_images_are_told_from_spoilt_layers() {
    let mut student = student(network("dnn/16", 2, 32), 1, 2);
    let mut batch = batch();
    batch.pixels = (batch.pixels * f64::NAN).unwrap();
    let what = told(&mut student, &batch);
    assert!(matches!(&what, NotFinite::Output { layer, .. } if layer == "normalize"), "{what}");
}

#[test]
fn a_spoilt_running_statistic_ends_the_training_that_does_not_read_it() {
    let mut student = student(network("vgg11/16", 2, 32), 1, 2);
    spoil(student.network(), "features.5.running_var");
    let what = told(&mut student, &batch());
    assert_eq!(what, NotFinite::State { tensor: "features.5.running_var".to_owned() });
}

#[test]
fn a_gradient_that_leaves_the_finite_numbers_is_named_where_the_backward_pass_met_it() {
    let mut student = student(network("dnn/16", 2, 32), 1, 2);
    let pixels = batch().pixels;
    let output = student.network().forward(&pixels, Mode::Train).unwrap();
    // The root's slope at 0 is infinite; the loss itself is 0.
    let sum = output.representation.sum_all().unwrap();
    let loss = (&sum - &sum).unwrap().sqrt().unwrap();
    let Err(UpdateError::NotFinite(what)) = student.update(&loss, &pixels) else { panic!("the update was made") };
    assert_eq!(what, NotFinite::Gradient { parameter: "features.16.bias".to_owned() });
}

#[test]
fn a_teacher_that_is_not_finite_is_told_from_a_student() {
    let teacher = network("vgg11/16", 1, 32);
    spoil(&teacher, "features.0.weight");
    let mut student = student(network("dnn/16", 2, 32), 1, 2);
    let mut step = step::build(&rrm(5e-3, 1, RepresentationLoss::Cosine), Some(&teacher), 0);
    let Err(UpdateError::NotFinite(what)) = step.step(&mut student, &batch()) else { panic!("the step was made") };
    assert!(matches!(what, NotFinite::Target { loss } if loss.is_nan()), "{what}");
}
