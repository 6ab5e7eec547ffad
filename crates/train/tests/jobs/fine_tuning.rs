//! Trainings that begin with the weights of another one.

use rrm_models::Network;
use rrm_spec::{
    Augmentation, EpochRecord, JobId, JobRef, JobSpec, Method, ModelSource, PgdSelection, Precision,
    RepresentationLoss, Schedule, TrainSpec,
};
use rrm_train::{Completion, Environment};

use crate::{
    dataset::Recipe,
    support::{Bench, bytes, closes, count, fraction, pgd, records, rrm, sat, state},
};

/// The job whose network a training begins with.
const INITIAL: JobId = JobId(3);

fn from_job(spec: TrainSpec) -> TrainSpec {
    TrainSpec { initial: Some(ModelSource::Job(JobRef::Id(INITIAL))), ..spec }
}

fn environment(bench: &Bench, work: &str, initial: &str) -> Environment {
    let mut environment = bench.environment_with(work, "teacher");
    environment.inputs.insert(INITIAL, bench.path(initial).join("final.safetensors"));
    environment
}

fn load(bench: &Bench, work: &str) -> Network {
    let path = bench.path(work).join("final.safetensors");
    Network::load(&path, &candle_core::Device::Cpu, candle_core::DType::F32).unwrap()
}

#[test]
fn an_epoch_of_adversarial_training_makes_an_rrm_student_more_robust() {
    let bench = Bench::new(Recipe::TEMPTING);
    let train = |arch: &str, method, epochs| TrainSpec {
        epochs: count(epochs),
        batch_size: count(20),
        augmentation: Augmentation::Light,
        ..bench.spec(arch, method)
    };
    let robust =
        |work: &str| fraction(bench.evaluate(work, pgd("20/255", "5/255", 10, PgdSelection::BestLoss), 20).robust);
    bench.train(&train("vgg11/16", sat("20/255", "8/255", 4), 10), &bench.environment("teacher"));
    let student = train("vgg11/16", rrm(5e-3, 1, RepresentationLoss::Cosine), 10);
    bench.train(&student, &bench.environment_with("student", "teacher"));
    let tuning = from_job(train("vgg11/16", sat("20/255", "8/255", 4), 3));
    let epochs = bench.train(&tuning, &environment(&bench, "tuned", "student"));
    let [first, .., last]: &[EpochRecord] = &epochs else { panic!("{epochs:?}") };
    assert!(last.loss < first.loss, "{epochs:?}");
    let (before, after) = (robust("student"), robust("tuned"));
    assert!(after > 0.5 && after >= before, "{before} {after}");
}

#[test]
fn a_training_begins_with_the_weights_and_statistics_that_it_is_given() {
    let bench = Bench::new(Recipe::EASY);
    let mut spec = bench.spec("vgg11/16", Method::Natural);
    bench.train(&spec, &bench.environment("first"));
    // So little that no f32 changes.
    (spec.optimizer.learning_rate, spec.optimizer.schedule) = (1e-30, Schedule::Constant);
    let spec = from_job(TrainSpec { epochs: count(1), ..spec });
    bench.train(&spec, &environment(&bench, "second", "first"));
    let (first, second) = (load(&bench, "first"), load(&bench, "second"));
    let tracked = |name: &str| !name.contains("running_") && !name.ends_with("num_batches_tracked");
    for ((name, before), (_, after)) in state(&first).into_iter().zip(state(&second)) {
        assert!(before == after || !tracked(&name), "{name}");
        assert!(before != after || !name.ends_with("running_mean"), "{name} has seen other batches");
    }
}

#[test]
fn tuning_resumes_bit_by_bit_and_not_from_other_weights() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("vgg11/16", Method::Natural);
    bench.train(&spec, &bench.environment("first"));
    bench.train(&TrainSpec { seed: 12, ..spec.clone() }, &bench.environment("impostor"));
    for precision in Precision::ALL {
        let tuning = from_job(TrainSpec { precision, ..bench.spec("vgg11/16", sat("8/255", "2/255", 2)) });
        bench.train(&tuning, &environment(&bench, "whole", "first"));
        let job = JobSpec::Train(tuning);
        let (outcome, _) = records(&job, &environment(&bench, "before", "first"), closes(2));
        assert_eq!(outcome.unwrap(), Completion::Stopped);
        let resume = || Some(bench.path("before/resume.safetensors"));
        let resumed = Environment { resume: resume(), ..environment(&bench, "after", "first") };
        assert_eq!(records(&job, &resumed, |_| false).0.unwrap(), Completion::Finished);
        assert!(bytes(&bench.path("after/final.safetensors")) == bytes(&bench.path("whole/final.safetensors")));
        let other = Environment { resume: resume(), ..environment(&bench, "other", "impostor") };
        let error = records(&job, &other, |_| false).0.unwrap_err().to_string();
        assert!(error.contains("network that it began with differs"), "{error}");
    }
}

#[test]
fn a_network_of_another_kind_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("vgg11/16", Method::Natural), &bench.environment("first"));
    let refusal = |spec: TrainSpec| {
        let (outcome, told) =
            records(&JobSpec::Train(from_job(spec)), &environment(&bench, "work", "first"), |_| false);
        assert!(told.is_empty(), "{told:?}");
        outcome.unwrap_err().to_string()
    };
    let text = refusal(bench.spec("resnet18/16", Method::Natural));
    assert!(text.contains("the network to begin with is vgg11/16"), "{text}");
    assert!(!text.contains('{'), "{text}");
    let text = refusal(TrainSpec { temperature: 30.0, ..bench.spec("vgg11/16", Method::Natural) });
    assert!(text.contains("vgg11/16 with temperature 1, this training's is vgg11/16 with temperature 30;"), "{text}");
}

#[test]
fn a_networks_representation_is_as_wide_as_its_spec_says() {
    let bench = Bench::new(Recipe::EASY);
    for (arch, width, has_adapter) in [("resnet50/16", 128, false), ("vgg11/16", 8, true)] {
        let spec = TrainSpec {
            representation_width: Some(count(width)),
            epochs: count(1),
            ..bench.spec(arch, Method::Natural)
        };
        bench.train(&spec, &bench.environment(&width.to_string()));
        let network = load(&bench, &width.to_string());
        let spec = network.spec();
        assert_eq!((spec.representation_width, spec.has_adapter()), (width as usize, has_adapter), "{arch}");
    }
}
