//! Interrupted and resumed equals uninterrupted, after every batch and within one.

use std::{collections::HashMap, fs, num::NonZeroU32, path::PathBuf, sync::Arc, sync::atomic::Ordering};

use candle_core::{DType, Device};
use rrm_data::{Images, Split};
use rrm_models::Network;
use rrm_spec::{
    CheckpointRole, Dataset, Diagnostic, EvaluateSpec, EvaluationRecord, Event, FailureClass, JobSpec, ModelSource,
    Outcome, Record,
};
use safetensors::SafeTensors;

use crate::{
    Completion, Environment, TrainError,
    interrupt::tests::{passes_of, stopped_in_pass},
    measure::tests::undecided,
    run,
    training::dataset::{self, Recipe},
};

/// A folder with images and a network that is of two minds about them.
struct Bench {
    folder: tempfile::TempDir,
    dataset: Dataset,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset::write(folder.path(), "shades", Recipe { images: (1, 10), ..Recipe::TEMPTING });
        let bench = Self { folder, dataset };
        undecided(&bench.images()).unwrap().save(&bench.path("network.safetensors")).unwrap();
        bench
    }

    fn images(&self) -> Images {
        rrm_data::open(&self.dataset, Split::Test, self.folder.path()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, attack: &str, epsilons: &[&str]) -> EvaluateSpec {
        EvaluateSpec {
            model: ModelSource::Checkpoint(self.path("network.safetensors")),
            dataset: self.dataset.clone(),
            images: None,
            attack: serde_json::from_str(attack).unwrap(),
            epsilons: epsilons.iter().map(|text| text.parse().unwrap()).collect(),
            teacher: None,
            temperature: None,
            diagnostics: None,
            batch_size: NonZeroU32::new(3).unwrap(),
            seed: 5,
            keep_images: true,
        }
    }

    /// Another network, of representations as wide.
    fn teacher(&self) -> ModelSource {
        let path = self.path("teacher.safetensors");
        let network = undecided(&self.images()).unwrap();
        Network::initialize(network.spec(), 2, &Device::Cpu, DType::F32).unwrap().save(&path).unwrap();
        ModelSource::Checkpoint(path)
    }

    /// Runs in the folder `work`, stopped after the record for which `stop_after` holds.
    fn run(
        &self,
        spec: &EvaluateSpec,
        work: &str,
        resume: Option<&str>,
        stop_after: impl Fn(&Record) -> bool,
    ) -> (Result<Completion, TrainError>, Vec<Record>) {
        let environment = Environment {
            device: Device::Cpu,
            data_dir: self.folder.path().to_owned(),
            work_dir: self.path(work),
            inputs: HashMap::new(),
            artifacts: HashMap::new(),
            resume: resume.map(|name| self.path(name)),
            stop: Arc::default(),
        };
        let mut told = Vec::new();
        let ended = run(&JobSpec::Evaluate(spec.clone()), &environment, &mut |event| {
            if let Event::Record(record) = event {
                environment.stop.fetch_or(stop_after(&record), Ordering::Relaxed);
                told.push(record);
            }
        });
        (ended, told)
    }

    fn kept(&self, work: &str) -> Vec<u8> {
        fs::read(self.path(work).join("adversarial.safetensors")).unwrap()
    }
}

fn evaluations(told: &[Record]) -> Vec<EvaluationRecord> {
    let evaluation = |record: &Record| match record {
        Record::Evaluation(record) => Some(EvaluationRecord { elapsed_us: 0, ..record.clone() }),
        Record::Started(_) | Record::Epoch(_) | Record::Checkpoint(_) | Record::Diagnostics(_) => None,
    };
    told.iter().filter_map(evaluation).collect()
}

fn numbers_of_diagnostics(told: &[Record]) -> Vec<Diagnostic> {
    let numbers = |record: &Record| match record {
        Record::Diagnostics(record) => record.numbers.clone(),
        Record::Started(_) | Record::Epoch(_) | Record::Checkpoint(_) | Record::Evaluation(_) => Vec::new(),
    };
    told.iter().flat_map(numbers).collect()
}

fn checkpoints(told: &[Record]) -> u32 {
    told.iter().filter(|record| closes(None)(record)).count() as u32
}

/// A checkpoint to resume from, with this number or any.
fn closes(number: Option<u32>) -> impl Fn(&Record) -> bool {
    move |record| match record {
        Record::Checkpoint(it) => it.role == CheckpointRole::Resume && number.is_none_or(|number| it.epoch == number),
        Record::Started(_) | Record::Epoch(_) | Record::Evaluation(_) | Record::Diagnostics(_) => false,
    }
}

const RADII: [&str; 2] = ["0.1/255", "0.3/255"];

const PGD: &str = r#"{"kind":"pgd","threat":{"norm":"linf","epsilon":"0.3/255"},"steps":2,"step_size":"0.1/255","start":"uniform","selection":"stop-when-broken","restarts":2}"#;

const ENSEMBLE: &str = r#"{"kind":"autoattack","threat":{"norm":"linf","epsilon":"0.3/255"},"version":{"kind":"custom","attacks":["apgd-ce","square"],"iterations":2,"queries":5}}"#;

const ART: &str = r#"{"kind":"apgd","threat":{"norm":"linf","epsilon":"0.3/255"},"iterations":3,"restarts":2,"dialect":{"kind":"art","batch":4}}"#;

#[test]
fn an_evaluation_that_is_interrupted_after_any_batch_finds_the_same_as_one_that_is_not() {
    let bench = Bench::new();
    for attack in [PGD, ENSEMBLE, ART] {
        let spec = bench.spec(attack, &RADII);
        let (ended, whole) = bench.run(&spec, "whole", None, |_| false);
        assert_eq!(ended.unwrap(), Completion::Finished);
        let (expected, count) = (evaluations(&whole), checkpoints(&whole));
        assert_eq!(expected.len(), RADII.len());
        assert!(count >= 4, "{count} checkpoints");
        let broken = |image: &rrm_spec::ImageOutcome| matches!(image.outcome, Outcome::Broken { .. });
        assert!(expected[1].images.iter().any(broken), "nothing was broken by {attack}");
        for number in 1..count {
            let (before, after) = (format!("before-{number}"), format!("after-{number}"));
            let (ended, _) = bench.run(&spec, &before, None, closes(Some(number)));
            assert_eq!(ended.unwrap(), Completion::Stopped, "checkpoint {number} of {count}");
            let (ended, told) = bench.run(&spec, &after, Some(&format!("{before}/resume.safetensors")), |_| false);
            assert_eq!(ended.unwrap(), Completion::Finished);
            assert!(matches!(&told[0], Record::Started(started) if started.first_epoch == number + 1), "{:?}", told[0]);
            assert_eq!(checkpoints(&told), count - number, "what was done is not done again");
            assert_eq!(evaluations(&told), expected, "{attack}, interrupted after batch {number}");
            assert!(bench.kept(&after) == bench.kept("whole"), "{attack}, interrupted after batch {number}");
        }
    }
}

#[test]
fn an_evaluation_at_another_temperature_finds_what_one_of_a_network_of_that_temperature_does() {
    let bench = Bench::new();
    let softened = undecided(&bench.images()).unwrap().with_temperature(1e-3);
    softened.save(&bench.path("softened.safetensors")).unwrap();
    let diagnostics = NonZeroU32::new(5);
    let told = |spec: EvaluateSpec, work: &str| {
        let (ended, records) = bench.run(&EvaluateSpec { diagnostics, ..spec }, work, None, |_| false);
        assert_eq!(ended.unwrap(), Completion::Finished);
        let mut evaluations = evaluations(&records);
        // The hash is that of the file.
        evaluations.iter_mut().for_each(|record| record.weights = "0".repeat(64).parse().unwrap());
        (evaluations, numbers_of_diagnostics(&records))
    };
    let own = told(bench.spec(PGD, &RADII), "own");
    let other = told(EvaluateSpec { temperature: Some(1e-3), ..bench.spec(PGD, &RADII) }, "other");
    let model = ModelSource::Checkpoint(bench.path("softened.safetensors"));
    let saved = told(EvaluateSpec { model, ..bench.spec(PGD, &RADII) }, "saved");
    assert_eq!(other, saved);
    let naturals = |told: &[EvaluationRecord]| told.iter().map(|record| record.natural).collect::<Vec<_>>();
    assert_eq!(naturals(&other.0), naturals(&own.0));
    assert_ne!(other.1, own.1, "the gradients of the cross-entropy are others");
}

const SQUARE: &str = r#"{"kind":"square","threat":{"norm":"linf","epsilon":"0.3/255"},"queries":40}"#;

const FAB: &str = r#"{"kind":"fab","threat":{"norm":"linf","epsilon":"0.3/255"},"iterations":5,"restarts":2}"#;

const CARLINI_WAGNER: &str =
    r#"{"kind":"carlini-wagner","threat":{"norm":"l2","epsilon":"0.3/255"},"iterations":5,"search_steps":3}"#;

const ADAPTIVE: &str =
    r#"{"kind":"adaptive","threat":{"norm":"linf","epsilon":"0.3/255"},"through":"all","iterations":3}"#;

#[test]
fn an_evaluation_that_is_stopped_within_a_batch_ends_at_the_next_pass_of_any_attack_and_loses_no_more_than_that_batch()
{
    let bench = Bench::new();
    for (i, attack) in [PGD, ENSEMBLE, ART, SQUARE, FAB, CARLINI_WAGNER, ADAPTIVE].into_iter().enumerate() {
        let teacher = (attack == ADAPTIVE).then(|| bench.teacher());
        let spec = EvaluateSpec { teacher, batch_size: NonZeroU32::new(64).unwrap(), ..bench.spec(attack, &RADII) };
        let whole = format!("whole-{i}");
        let ((ended, told), passes) = passes_of(|| bench.run(&spec, &whole, None, |_| false));
        assert_eq!(ended.unwrap(), Completion::Finished);
        assert!(passes > 4, "{passes} passes of {attack}");
        let expected = evaluations(&told);
        for last in [1, passes / 2, passes - 1] {
            let (before, after) = (format!("before-{i}-{last}"), format!("after-{i}-{last}"));
            let ((ended, _), made) = stopped_in_pass(last, || bench.run(&spec, &before, None, |_| false));
            assert_eq!(ended.unwrap(), Completion::Stopped, "{attack}, stopped in pass {last} of {passes}");
            assert_eq!(made, last, "{attack} went on");
            // Without a batch that was finished there is nothing to go on from.
            let resume = format!("{before}/resume.safetensors");
            let resume = bench.path(&resume).exists().then_some(resume.as_str());
            let (ended, told) = bench.run(&spec, &after, resume, |_| false);
            assert_eq!(ended.unwrap(), Completion::Finished);
            assert_eq!(evaluations(&told), expected, "{attack}, stopped in pass {last} of {passes}");
            assert!(bench.kept(&after) == bench.kept(&whole), "{attack}, stopped in pass {last} of {passes}");
        }
    }
}

#[test]
fn diagnostics_that_are_stopped_within_an_attack_end_at_its_next_pass_and_measure_the_same_when_made_again() {
    let bench = Bench::new();
    let plain = EvaluateSpec { batch_size: NonZeroU32::new(64).unwrap(), ..bench.spec(PGD, &[]) };
    let spec = EvaluateSpec { diagnostics: NonZeroU32::new(20), ..plain.clone() };
    let (_, before) = passes_of(|| bench.run(&plain, "plain", None, |_| false));
    let ((ended, told), passes) = passes_of(|| bench.run(&spec, "whole", None, |_| false));
    assert_eq!(ended.unwrap(), Completion::Finished);
    let expected = numbers_of_diagnostics(&told);
    assert!(passes > before + 20 && !expected.is_empty(), "{before} passes, and {passes} with diagnostics");
    let last = before + (passes - before) / 2;
    let ((ended, told), made) = stopped_in_pass(last, || bench.run(&spec, "stopped", None, |_| false));
    assert_eq!((ended.unwrap(), made), (Completion::Stopped, last));
    assert_eq!(numbers_of_diagnostics(&told), []);
    let (ended, told) = bench.run(&spec, "again", Some("stopped/resume.safetensors"), |_| false);
    assert_eq!(ended.unwrap(), Completion::Finished);
    assert_eq!(numbers_of_diagnostics(&told), expected);
}

#[test]
fn a_chain_of_interruptions_in_one_folder_ends_alike() {
    let bench = Bench::new();
    let spec = bench.spec(ENSEMBLE, &RADII);
    let expected = evaluations(&bench.run(&spec, "whole", None, |_| false).1);
    let (mut ended, mut told) = bench.run(&spec, "chain", None, closes(None));
    let mut links = 1;
    while ended.unwrap() == Completion::Stopped {
        (ended, told) = bench.run(&spec, "chain", Some("chain/resume.safetensors"), closes(None));
        links += 1;
    }
    assert!(links > 3, "{links} links");
    assert_eq!(evaluations(&told), expected);
    assert!(bench.kept("chain") == bench.kept("whole"));
}

#[test]
fn findings_of_another_evaluation_or_none_at_all_are_refused() {
    let bench = Bench::new();
    let spec = bench.spec(PGD, &[]);
    bench.run(&spec, "work", None, |_| false).0.unwrap();
    let refusal = |spec: &EvaluateSpec, file: &str| {
        let error = bench.run(spec, "refused", Some(file), |_| false).0.unwrap_err();
        (error.to_string(), error.class())
    };
    let (text, class) = refusal(&EvaluateSpec { seed: 6, ..spec.clone() }, "work/resume.safetensors");
    assert!(text.contains("spec differs"), "{text}");
    assert_eq!(class, FailureClass::User);
    let (text, class) = refusal(&spec, "network.safetensors");
    assert!(text.contains("not a checkpoint to resume from"), "{text}");
    assert_eq!(class, FailureClass::User);
    let whole = fs::read(bench.path("work/resume.safetensors")).unwrap();
    for cut in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(bench.path("cut.safetensors"), &whole[..cut]).unwrap();
        let (text, class) = refusal(&spec, "cut.safetensors");
        assert!(text.contains("damaged"), "{cut} bytes: {text}");
        assert_eq!(class, FailureClass::Machine);
    }
}

#[test]
fn kept_images_are_what_the_attack_found_and_the_audit_says_what_they_are_worth() {
    let bench = Bench::new();
    let spec = bench.spec(ENSEMBLE, &RADII);
    let (ended, told) = bench.run(&spec, "work", None, |_| false);
    assert_eq!(ended.unwrap(), Completion::Finished);
    let last = evaluations(&told).pop().unwrap();
    let audit = last.audit.unwrap();
    assert_eq!((audit.outside_box, audit.not_finite, audit.recounted), (0, 0, last.robust));
    let epsilon = 0.3 / 255.0;
    assert!(audit.largest_change > 0.3 * epsilon && audit.largest_change <= epsilon, "{audit:?}");

    let bytes = bench.kept("work");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let images = bench.images();
    let pixels = tensors.tensor("images").unwrap();
    assert_eq!(pixels.shape(), [images.len(), 3, 32, 32]);
    let floats: Vec<f32> =
        pixels.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let numbers = |name| -> Vec<i64> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let (labels, outcomes, radius) = (numbers("labels"), numbers("outcomes"), numbers("radius"));
    let mut largest = 0.0f64;
    for (i, image) in last.images.iter().enumerate() {
        let natural = images.pixels(i).unwrap();
        let pairs = floats[i * natural.len()..].iter().zip(natural.iter());
        let change = pairs.map(|(x, &k)| f64::from((x - f32::from(k) / 255.0).abs())).fold(0.0, f64::max);
        let kind = match image.outcome {
            Outcome::Misclassified => 0,
            Outcome::Broken { .. } => 1,
            Outcome::Robust => 2,
        };
        assert_eq!((labels[i], outcomes[i]), (i64::from(image.label), kind));
        assert_eq!(kind == 1, change > 0.0, "image {i} is {:?} and changed by {change}", image.outcome);
        assert_eq!(kind == 1, radius[i] >= 0, "image {i}");
        largest = largest.max(change);
    }
    assert!((largest - audit.largest_change).abs() < 1e-7, "{largest} {audit:?}");
}

#[test]
fn without_the_wish_no_image_is_kept() {
    let bench = Bench::new();
    let spec = EvaluateSpec { keep_images: false, ..bench.spec(PGD, &[]) };
    let (_, told) = bench.run(&spec, "work", None, |_| false);
    let is_final =
        |record: &Record| matches!(record, Record::Checkpoint(checkpoint) if checkpoint.role == CheckpointRole::Final);
    assert!(!told.iter().any(is_final), "{told:?}");
    assert!(!bench.path("work/adversarial.safetensors").exists());
}
