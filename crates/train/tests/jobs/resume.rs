//! Stopped and resumed equals uninterrupted.

use std::fs;

use rrm_spec::{
    CheckpointRecord, CheckpointRole, EpochRecord, FailureClass, JobSpec, Method, Record, RepresentationLoss, Schedule,
    TrainSpec, Validation,
};
use rrm_train::{Completion, Environment};

use crate::{
    dataset::Recipe,
    support::{Bench, bytes, closes, count, epochs, fast_at, pgd, records, rrm, sat},
};

/// Runs `spec` undisturbed, then once per epoch stopped after it and resumed, and compares everything but the times.
fn every_interruption_ends_alike(bench: &Bench, spec: &TrainSpec, environment: impl Fn(&str) -> Environment) {
    let undisturbed = timeless(bench.train(spec, &environment("whole")));
    let weights = bytes(&bench.path("whole/final.safetensors"));
    let job = JobSpec::Train(spec.clone());
    for last in 1..spec.epochs.get() {
        let (before, after) = (format!("before-{last}"), format!("after-{last}"));
        let (outcome, mut told) = records(&job, &environment(&before), closes(last));
        assert_eq!(outcome.unwrap(), Completion::Stopped);
        assert!(!bench.path(&before).join("final.safetensors").exists());
        let resume = Some(bench.path(&before).join("resume.safetensors"));
        let (outcome, rest) = records(&job, &Environment { resume, ..environment(&after) }, |_| false);
        assert_eq!(outcome.unwrap(), Completion::Finished);
        told.extend(rest);
        assert_eq!(timeless(epochs(&told)), undisturbed, "stopped after epoch {last}");
        assert_eq!(bytes(&bench.path(&after).join("final.safetensors")), weights, "stopped after epoch {last}");
    }
}

fn timeless(mut epochs: Vec<EpochRecord>) -> Vec<EpochRecord> {
    for epoch in &mut epochs {
        (epoch.train_us, epoch.validation_us) = (0, 0);
    }
    epochs
}

#[test]
fn natural_training_resumes_bit_by_bit() {
    let bench = Bench::new(Recipe::EASY);
    let spec = TrainSpec { augmentation: rrm_spec::Augmentation::Light, ..bench.spec("dnn/16", Method::Natural) };
    every_interruption_ends_alike(&bench, &spec, |work| bench.environment(work));
}

#[test]
fn adversarial_training_in_eval_mode_resumes_bit_by_bit() {
    let bench = Bench::new(Recipe::EASY);
    let attack = Some(pgd("8/255", "2/255", 2, rrm_spec::PgdSelection::Last));
    let validation = Validation { images: Some(count(5)), attack };
    let spec = TrainSpec { validation, ..bench.spec("resnet18/16", sat("8/255", "2/255", 2)) };
    every_interruption_ends_alike(&bench, &spec, |work| bench.environment(work));
}

#[test]
fn adversarial_training_in_train_mode_resumes_bit_by_bit() {
    let bench = Bench::new(Recipe::EASY);
    let mut spec = bench.spec("vgg11/16", fast_at("8/255", "2/255", 2));
    spec.optimizer.schedule = Schedule::Triangular { peak_momentum: Some(0.8) };
    every_interruption_ends_alike(&bench, &spec, |work| bench.environment(work));
}

#[test]
fn rrm_with_replays_and_an_adapter_resumes_bit_by_bit() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/8", Method::Natural), &bench.environment("teacher"));
    let spec = bench.spec("resnet18/16", rrm(5e-3, 2, RepresentationLoss::Cosine));
    every_interruption_ends_alike(&bench, &spec, |work| bench.environment_with(work, "teacher"));
}

#[test]
fn a_job_stopped_between_its_last_epoch_and_its_end_only_writes_the_final_network() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("whole"));
    let resume = Some(bench.path("whole/resume.safetensors"));
    let (outcome, told) =
        records(&JobSpec::Train(spec), &Environment { resume, ..bench.environment("again") }, |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    let [Record::Started(started), Record::Checkpoint(CheckpointRecord { role: CheckpointRole::Final, epoch: 3, .. })] =
        told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(started.first_epoch, 4);
    assert_eq!(bytes(&bench.path("whole/final.safetensors")), bytes(&bench.path("again/final.safetensors")));
}

#[test]
fn a_job_told_to_stop_at_once_trains_nothing() {
    let bench = Bench::new(Recipe::EASY);
    let job = JobSpec::Train(bench.spec("dnn/16", Method::Natural));
    let (outcome, told) = records(&job, &bench.environment("work"), |_| true);
    assert_eq!(outcome.unwrap(), Completion::Stopped);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(fs::read_dir(bench.path("work")).unwrap().count(), 0);
}

#[test]
fn records_come_in_the_promised_order_with_true_hashes() {
    use sha2::{Digest, Sha256};
    let bench = Bench::new(Recipe::EASY);
    let job = JobSpec::Train(bench.spec("dnn/16", Method::Natural));
    let (_, told) = records(&job, &bench.environment("work"), |record| {
        if let Record::Checkpoint(checkpoint) = record {
            let bytes = bytes(&checkpoint.path);
            assert_eq!(hex::encode(Sha256::digest(&bytes)), checkpoint.sha256.as_str());
            assert_eq!(bytes.len() as u64, checkpoint.bytes);
        }
        false
    });
    let kinds: Vec<String> = told.iter().map(kind).collect();
    let expected = ["started", "epoch 1", "Resume 1", "epoch 2", "Resume 2", "epoch 3", "Resume 3", "Final 3"];
    assert_eq!(kinds, expected);
}

fn kind(record: &Record) -> String {
    match record {
        Record::Started(_) => "started".to_owned(),
        Record::Epoch(epoch) => format!("epoch {}", epoch.epoch),
        Record::Checkpoint(checkpoint) => format!("{:?} {}", checkpoint.role, checkpoint.epoch),
        Record::Evaluation(_) => "evaluation".to_owned(),
    }
}

/// The text of the refusal to resume `spec` from a file with these bytes.
fn refusal(bench: &Bench, spec: &TrainSpec, bytes: &[u8]) -> (String, FailureClass) {
    let path = bench.path("given.safetensors");
    fs::write(&path, bytes).unwrap();
    let environment = Environment { resume: Some(path.clone()), ..bench.environment("refused") };
    let (outcome, told) = records(&JobSpec::Train(spec.clone()), &environment, |_| false);
    let error = outcome.unwrap_err();
    assert!(told.is_empty(), "{told:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    (error.to_string(), error.class())
}

#[test]
fn a_checkpoint_of_another_spec_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let other = TrainSpec { seed: spec.seed + 1, ..spec };
    let (text, class) = refusal(&bench, &other, &bytes(&bench.path("work/resume.safetensors")));
    assert!(text.contains("another training") && text.contains("spec"), "{text}");
    assert_eq!(class, FailureClass::User);
}

#[test]
fn a_checkpoint_of_another_teacher_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    let teacher = bench.spec("dnn/16", Method::Natural);
    bench.train(&teacher, &bench.environment("teacher"));
    bench.train(&TrainSpec { seed: 12, ..teacher }, &bench.environment("impostor"));
    let spec = bench.spec("dnn/16", rrm(0.1, 1, RepresentationLoss::Cosine));
    bench.train(&spec, &bench.environment_with("work", "teacher"));
    let resume = Some(bench.path("work/resume.safetensors"));
    let environment = Environment { resume, ..bench.environment_with("other", "impostor") };
    let error = records(&JobSpec::Train(spec), &environment, |_| false).0.unwrap_err();
    assert!(error.to_string().contains("teacher differs"), "{error}");
}

#[test]
fn a_final_network_is_no_checkpoint_to_resume_from() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let (text, class) = refusal(&bench, &spec, &bytes(&bench.path("work/final.safetensors")));
    assert!(text.contains("not a checkpoint to resume from"), "{text}");
    assert_eq!(class, FailureClass::User);
}

#[test]
fn truncated_and_hostile_checkpoints_are_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let whole = bytes(&bench.path("work/resume.safetensors"));
    let cuts = [0, 7, 8, 100, whole.len() / 2, whole.len() - 1];
    let mut files: Vec<Vec<u8>> = cuts.iter().map(|&cut| whole[..cut].to_vec()).collect();
    files.push(u64::MAX.to_le_bytes().to_vec()); // A header longer than any memory.
    files.push([&whole[..], &[0]].concat()); // Bytes that no tensor claims.
    files.push(b"PK\x03\x04 this is something else altogether".to_vec());
    for file in files {
        let (text, class) = refusal(&bench, &spec, &file);
        assert!(text.contains("damaged"), "{} bytes: {text}", file.len());
        assert_eq!(class, FailureClass::Machine);
    }
}

#[test]
fn tensors_of_the_wrong_shape_are_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let whole = bytes(&bench.path("work/resume.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    for victim in ["momentum.classifier.bias", "network.classifier.bias"] {
        let doctored = tensors.iter().map(|(key, view)| match key {
            key if key == victim => {
                let cut = &view.data()[..4];
                (key, safetensors::tensor::TensorView::new(view.dtype(), vec![1], cut).unwrap())
            }
            key => (key, view),
        });
        let file = safetensors::serialize(doctored, metadata.metadata().clone()).unwrap();
        let (text, _) = refusal(&bench, &spec, &file);
        assert!(text.contains("classifier.bias"), "{text}");
    }
}
