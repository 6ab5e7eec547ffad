//! Sets of robust images, and training on them.

use rrm_data::{Split, read_set};
use rrm_spec::{
    CheckpointRecord, EpochRecord, FailureClass, ImagesSource, JobId, JobRef, JobSpec, Method, ModelSource, Record,
    SynthesizeSpec, TrainSpec,
};
use rrm_train::{Completion, Environment};

use crate::{
    dataset::Recipe,
    support::{Bench, bytes, closes, count, epochs, fraction, records, sat},
};

/// The job whose images trainings are made on.
const SET: JobId = JobId(2);

fn spec(bench: &Bench, steps: u32, parts: u32) -> SynthesizeSpec {
    SynthesizeSpec {
        model: ModelSource::Job(JobRef::Id(JobId(1))),
        dataset: bench.dataset.clone(),
        steps: count(steps),
        step_size: "0.1".parse().unwrap(),
        parts: count(parts),
        batch_size: count(7),
        seed: 3,
    }
}

/// Makes the images in the folder `work` with the network of the folder `teacher`.
fn synthesize(bench: &Bench, spec: &SynthesizeSpec, work: &str) -> Vec<Record> {
    let job = JobSpec::Synthesize(spec.clone());
    let (outcome, told) = records(&job, &bench.environment_with(work, "teacher"), |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    told
}

/// An environment for a training on the images in the folder `set`.
fn with_set(bench: &Bench, work: &str, set: &str) -> Environment {
    let mut environment = bench.environment(work);
    environment.inputs.insert(SET, bench.path(set).join("images.safetensors"));
    environment
}

/// Whether the student is robust, too, is left to experiments: two hundred images of two classes do not decide that.
#[test]
fn a_robust_teacher_sees_the_targets_in_robust_images_and_training_on_them_learns_the_natural_classes() {
    let bench = Bench::new(Recipe::TEMPTING);
    let train =
        |method, epochs| TrainSpec { epochs: count(epochs), batch_size: count(20), ..bench.spec("vgg11/16", method) };
    bench.train(&train(sat("20/255", "8/255", 4), 10), &bench.environment("teacher"));
    let told = synthesize(&bench, &spec(&bench, 200, 2), "set");
    let parts = epochs(&told);
    let accuracies: Vec<f64> = parts.iter().map(|part| fraction(part.train)).collect();
    assert!(parts.len() == 2 && accuracies.iter().all(|&accuracy| accuracy > 0.7), "{parts:?}");

    let student = TrainSpec { training_set: Some(ImagesSource::Job(JobRef::Id(SET))), ..train(Method::Natural, 10) };
    let trained = bench.train(&student, &with_set(&bench, "student", "set"));
    let [first, .., last]: &[EpochRecord] = &trained else { panic!("{trained:?}") };
    assert!(last.loss < first.loss && last.images == 200, "{trained:?}");
    assert!(fraction(last.natural) > 0.7, "{last:?}");
}

#[test]
fn robust_images_have_the_labels_of_their_targets_and_do_not_depend_on_batches_or_parts() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/16", Method::Natural), &bench.environment("teacher"));
    let one = spec(&bench, 3, 1);
    synthesize(&bench, &one, "one");
    synthesize(&bench, &SynthesizeSpec { batch_size: count(5), parts: count(4), ..one.clone() }, "other");
    let [one_set, other] = ["one", "other"].map(|work| bytes(&bench.path(work).join("images.safetensors")));
    assert!(one_set == other);
    let images = read_set(&bench.path("one").join("images.safetensors")).unwrap();
    let natural = rrm_data::open(&bench.dataset, Split::Train, &bench.path("")).unwrap();
    assert!((0..natural.len()).all(|i| images.label(i) == natural.label(i)));
    assert_eq!((images.len(), images.class_names()), (natural.len(), natural.class_names()));
    assert!((0..natural.len()).any(|i| images.pixels(i).unwrap() != natural.pixels(i).unwrap()));
    synthesize(&bench, &SynthesizeSpec { seed: 4, ..one }, "seeded");
    assert!(bytes(&bench.path("seeded").join("images.safetensors")) != one_set);
}

#[test]
fn a_longer_descent_comes_nearer() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("vgg11/16", Method::Natural), &bench.environment("teacher"));
    let distance = |steps| epochs(&synthesize(&bench, &spec(&bench, steps, 1), "set"))[0].loss;
    let [short, long] = [1, 20].map(distance);
    assert!(long < 0.7 * short, "{short} {long}");
}

#[test]
fn a_synthesis_resumes_bit_by_bit_after_every_part() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/16", Method::Natural), &bench.environment("teacher"));
    let spec = spec(&bench, 3, 3);
    let whole = synthesize(&bench, &spec, "whole");
    let kinds = |told: &[Record]| -> Vec<String> { told.iter().map(kind).collect() };
    assert_eq!(
        kinds(&whole),
        ["started 1", "epoch 1", "Resume 1", "epoch 2", "Resume 2", "epoch 3", "Resume 3", "Final 3"]
    );
    let job = JobSpec::Synthesize(spec);
    for last in 1..3 {
        let (before, after) = (format!("before-{last}"), format!("after-{last}"));
        let (outcome, _) = records(&job, &bench.environment_with(&before, "teacher"), closes(last));
        assert_eq!(outcome.unwrap(), Completion::Stopped);
        let resume = Some(bench.path(&before).join("resume.safetensors"));
        let environment = Environment { resume, ..bench.environment_with(&after, "teacher") };
        let (outcome, told) = records(&job, &environment, |_| false);
        assert_eq!(outcome.unwrap(), Completion::Finished);
        assert_eq!(kind(&told[0]), format!("started {}", last + 1));
        let [one, other] = ["whole", &after].map(|work| bytes(&bench.path(work).join("images.safetensors")));
        assert!(one == other, "stopped after part {last}");
    }
}

fn kind(record: &Record) -> String {
    match record {
        Record::Started(started) => format!("started {}", started.first_epoch),
        Record::Epoch(epoch) => format!("epoch {}", epoch.epoch),
        Record::Checkpoint(CheckpointRecord { role, epoch, .. }) => format!("{role:?} {epoch}"),
        Record::Evaluation(_) => "evaluation".to_owned(),
        Record::Diagnostics(_) => "diagnostics".to_owned(),
    }
}

#[test]
fn a_checkpoint_of_another_synthesis_or_none_at_all_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/16", Method::Natural), &bench.environment("teacher"));
    let spec = spec(&bench, 2, 2);
    synthesize(&bench, &spec, "work");
    let refusal = |spec: &SynthesizeSpec, file: &str| {
        let environment =
            Environment { resume: Some(bench.path(file)), ..bench.environment_with("refused", "teacher") };
        let error = records(&JobSpec::Synthesize(spec.clone()), &environment, |_| false).0.unwrap_err();
        (error.to_string(), error.class())
    };
    let (text, class) = refusal(&SynthesizeSpec { seed: 9, ..spec.clone() }, "work/resume.safetensors");
    assert!(text.contains("spec differs"), "{text}");
    assert_eq!(class, FailureClass::User);
    for file in ["teacher/resume.safetensors", "work/images.safetensors"] {
        let (text, class) = refusal(&spec, file);
        assert!(text.contains("not a checkpoint to resume from"), "{text}");
        assert_eq!(class, FailureClass::User);
    }
}

#[test]
fn a_set_of_other_classes_or_sizes_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("teacher"));
    let environment = |path: &str| {
        let mut environment = bench.environment("refused");
        environment.inputs.insert(SET, bench.path(path));
        environment
    };
    let refusal = |path: &str, dataset| {
        let training_set = Some(ImagesSource::Job(JobRef::Id(SET)));
        let spec = TrainSpec { training_set, dataset, ..spec.clone() };
        records(&JobSpec::Train(spec), &environment(path), |_| false).0.unwrap_err().to_string()
    };
    let text = refusal("teacher/final.safetensors", bench.dataset.clone());
    assert!(text.contains("a set of images that a synthesize job made"), "{text}");
    synthesize(&bench, &self::spec(&bench, 1, 1), "set");
    let mut dataset = bench.dataset.clone();
    dataset.train_images = Some(count(25));
    let text = refusal("set/images.safetensors", dataset);
    assert!(text.contains("25 training images are wanted, the training set has 24"), "{text}");
}
