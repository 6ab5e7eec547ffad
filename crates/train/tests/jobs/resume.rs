//! Stopped and resumed equals uninterrupted.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rrm_spec::{
    CheckpointRecord, CheckpointRole, DistillationForm, EpochRecord, FailureClass, JobSpec, Method, Perturbation,
    Precision, Record, RepresentationLoss, Schedule, TrainSpec, Validation,
};
use rrm_train::{Completion, Environment};

use crate::{
    dataset::Recipe,
    support::{
        Bench, bytes, closes, count, distillation, epochs, fast_at, free, pgd, records, robust_distillation, rrm, sat,
        trades,
    },
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

/// Runs `spec` undisturbed, then in one folder stopped after every epoch in turn and resumed from where it stopped.
fn a_chain_of_interruptions_ends_alike(bench: &Bench, spec: &TrainSpec, environment: impl Fn(&str) -> Environment) {
    let undisturbed = timeless(bench.train(spec, &environment("whole")));
    let job = JobSpec::Train(spec.clone());
    let mut told = Vec::new();
    for last in 1..=spec.epochs.get() {
        let resume = (last > 1).then(|| bench.path("chain/resume.safetensors"));
        let (outcome, link) = records(&job, &Environment { resume, ..environment("chain") }, closes(last));
        // The last link is told to stop when nothing but the final network is left to write.
        let expected = if last < spec.epochs.get() { Completion::Stopped } else { Completion::Finished };
        assert_eq!(outcome.unwrap(), expected, "link {last}");
        told.extend(link);
    }
    assert_eq!(timeless(epochs(&told)), undisturbed);
    assert_eq!(bytes(&bench.path("chain/final.safetensors")), bytes(&bench.path("whole/final.safetensors")));
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
fn free_adversarial_training_resumes_bit_by_bit_with_the_change_that_it_carries() {
    let bench = Bench::new(Recipe::EASY);
    // The last batch of an epoch has four images of ten.
    for perturbation in [Perturbation::Carried, Perturbation::Reset] {
        let mut spec = bench.spec("vgg11/16", free("8/255", 3, perturbation));
        spec.optimizer.schedule = Schedule::Triangular { peak_momentum: Some(0.8) };
        every_interruption_ends_alike(&bench, &spec, |work| bench.environment(work));
    }
}

#[test]
fn distillation_and_trades_resume_bit_by_bit() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/8", Method::Natural), &bench.environment("teacher"));
    let methods = [
        distillation(30.0, 0.9, DistillationForm::Released),
        robust_distillation("8/255", "2/255", 2, 0.5),
        trades("8/255", "2/255", 2, 6.0),
    ];
    for method in methods {
        let spec = TrainSpec { temperature: 2.0, ..bench.spec("vgg11/16", method) };
        every_interruption_ends_alike(&bench, &spec, |work| bench.environment_with(work, "teacher"));
    }
}

#[test]
fn a_checkpoint_with_what_its_method_does_not_remember_is_refused() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let whole = bytes(&bench.path("work/resume.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let stranger = ("step.perturbation", tensors.tensor("network.classifier.bias").unwrap());
    let doctored = safetensors::serialize(tensors.iter().chain([stranger]), metadata.metadata().clone()).unwrap();
    let (text, _) = refusal(&bench, &spec, &doctored);
    assert!(text.contains("perturbation"), "{text}");
}

#[test]
fn every_method_resumes_bit_by_bit_in_bf16() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/8", Method::Natural), &bench.environment("teacher"));
    let methods = [
        ("dnn/4", Method::Natural),
        ("vgg11/8", sat("8/255", "2/255", 2)),
        ("resnet18/8", rrm(5e-3, 2, RepresentationLoss::Cosine)),
        ("vgg11/8", free("8/255", 2, Perturbation::Carried)),
        ("vgg11/8", distillation(4.0, 0.5, DistillationForm::Textbook)),
        ("vgg11/8", robust_distillation("8/255", "2/255", 2, 1.0)),
        ("vgg11/8", trades("8/255", "2/255", 2, 6.0)),
    ];
    for (arch, method) in methods {
        let spec = TrainSpec { precision: Precision::Bf16, ..bench.spec(arch, method) };
        every_interruption_ends_alike(&bench, &spec, |work| bench.environment_with(work, "teacher"));
    }
}

#[test]
fn training_interrupted_after_every_epoch_in_turn_ends_bit_by_bit_alike() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/8", Method::Natural), &bench.environment("teacher"));
    let mut spec = bench.spec("resnet18/16", rrm(5e-3, 2, RepresentationLoss::Cosine));
    spec.optimizer.schedule = Schedule::Triangular { peak_momentum: Some(0.8) };
    spec.augmentation = rrm_spec::Augmentation::Light;
    let spec = TrainSpec { epochs: count(4), ..spec };
    a_chain_of_interruptions_ends_alike(&bench, &spec, |work| bench.environment_with(work, "teacher"));
}

#[test]
fn training_stopped_within_an_epoch_goes_on_from_the_checkpoint_before() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("resnet18/16", sat("8/255", "2/255", 2));
    let undisturbed = bench.train(&spec, &bench.environment("whole"));
    let half = Duration::from_micros(undisturbed[1].train_us / 2);
    stop_within_the_second_epoch(&bench, &spec, half);
    let resume = Some(bench.path("broken/resume.safetensors"));
    let environment = Environment { resume, ..bench.environment("mended") };
    let (outcome, told) = records(&JobSpec::Train(spec), &environment, |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    assert_eq!(timeless(epochs(&told)), timeless(undisturbed)[1..]);
    assert_eq!(bytes(&bench.path("mended/final.safetensors")), bytes(&bench.path("whole/final.safetensors")));
}

/// Trains in the folder `broken` until about `into` the second epoch. A machine that pauses at the wrong moment may miss the
/// epoch: then it is tried again, since this is about what follows.
fn stop_within_the_second_epoch(bench: &Bench, spec: &TrainSpec, into: Duration) {
    for _ in 0..20 {
        let environment = bench.environment("broken");
        let (outcome, told) = records(&JobSpec::Train(spec.clone()), &environment, |record| {
            if closes(1)(record) {
                let (stop, due) = (Arc::clone(&environment.stop), Instant::now() + into);
                std::thread::spawn(move || {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    stop.store(true, Ordering::Relaxed);
                });
            }
            false
        });
        if outcome.unwrap() == Completion::Stopped && epochs(&told).len() == 1 {
            return;
        }
    }
    panic!("no try ended within the second epoch");
}

#[test]
fn what_a_death_while_writing_left_is_neither_used_nor_kept() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    let undisturbed = timeless(bench.train(&spec, &bench.environment("whole")));
    let job = JobSpec::Train(spec);
    let (_, mut told) = records(&job, &bench.environment("work"), closes(1));
    let half = bytes(&bench.path("work/resume.safetensors"));
    for leftover in [".resume.safetensors.tmp", ".final.safetensors.tmp"] {
        fs::write(bench.path("work").join(leftover), &half[..half.len() / 2]).unwrap();
    }
    let resume = Some(bench.path("work/resume.safetensors"));
    let (outcome, rest) = records(&job, &Environment { resume, ..bench.environment("work") }, |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    told.extend(rest);
    assert_eq!(timeless(epochs(&told)), undisturbed);
    assert_eq!(bytes(&bench.path("work/final.safetensors")), bytes(&bench.path("whole/final.safetensors")));
    let mut names: Vec<_> = fs::read_dir(bench.path("work")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["final.safetensors", "resume.safetensors"]);
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
        Record::Diagnostics(_) => "diagnostics".to_owned(),
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
fn a_training_does_not_go_on_in_another_precision() {
    let bench = Bench::new(Recipe::EASY);
    let spec = bench.spec("dnn/16", Method::Natural);
    bench.train(&spec, &bench.environment("work"));
    let other = TrainSpec { precision: Precision::Bf16, ..spec };
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
