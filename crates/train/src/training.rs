//! The training loop, in the order of execution.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rrm_data::{Images, Split, Stream, train_batches};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Accuracy, AttackSpec, EpochRecord, ImageOutcome, Method, Record, TrainSpec};

use crate::{
    Environment,
    checkpoint::{self, Identity},
    device::{Stopwatch, warn_where_missing},
    error::{Halt, TrainError},
    files::create_folder,
    measure::{Measurement, natural_accuracy, robust_accuracy},
    monitor::Monitor,
    run::started,
    schedule::Timetable,
    source::{Source, set_path},
    step::{self, Step, StepStats, TrainBatch},
    student::{Student, UpdateError},
    synthesize::open_set,
    work,
};

/// Trains, validates and checkpoints epoch by epoch.
pub(crate) fn train(spec: &TrainSpec, environment: &Environment, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
    create_folder(&environment.work_dir)?;
    warn_where_missing(spec.precision, &environment.device);
    let (images, test) = open_images(spec, environment)?;
    must_attack(spec, &images)?;
    let teacher = load_teacher(spec, &images, environment)?;
    let initial = load_initial(spec, &images, environment)?;
    let mut step = step::build(&spec.method, teacher.as_ref().map(|teacher| &teacher.network), spec.seed);
    let batches = images.len().div_ceil(spec.batch_size.get() as usize) as u64;
    let epochs = spec.epochs.get();
    let timetable = Timetable::new(&spec.optimizer, epochs, batches * u64::from(step.updates_per_batch()));
    let network = network_spec(spec, &images, teacher.as_ref(), initial.as_ref());
    let hash = |source: &Option<Source>| source.as_ref().map(|source| source.sha256.clone());
    let identity = Identity::new(spec, hash(&teacher), hash(&initial), &images);
    let (student, trained) = match &environment.resume {
        Some(path) => checkpoint::resume(path, &identity, &network, timetable, step.as_mut(), &environment.device)?,
        None => (begin(spec, &network, initial, timetable, environment)?, 0),
    };
    let mut student = student.with_precision(spec.precision).stopped_by(&environment.stop);

    let measurement = validation(spec, &test);
    let epoch_work = work::epoch(spec, images.len(), measurement.images.unwrap_or(0));
    monitor.expect(u64::from(trained) * epoch_work, u64::from(epochs) * epoch_work);
    monitor.start(started(student.network(), trained + 1, &identity.images_sha256));
    for epoch in trained + 1..=epochs {
        monitor.begin(format!("epoch {epoch}/{epochs}"));
        let training = train_epoch(spec, &images, epoch, &mut student, step.as_mut(), monitor)?;

        monitor.begin(format!("validation {epoch}/{epochs}"));
        let stopwatch = Stopwatch::start(&environment.device)?;
        let outcomes = Measurement { epoch, ..measurement }.outcomes(student.network(), &test, monitor)?;
        let validation_us = stopwatch.elapsed_us()?;

        monitor.record(Record::Epoch(training.record(spec, &student, &outcomes, validation_us)));
        let path = environment.work_dir.join("resume.safetensors");
        monitor.record(Record::Checkpoint(checkpoint::save_resume(&path, &student, step.as_ref(), epoch, &identity)?));
    }
    let path = environment.work_dir.join("final.safetensors");
    monitor.record(Record::Checkpoint(checkpoint::save_final(&path, &student, epochs)?));
    Ok(())
}

/// What an epoch's loop leaves behind.
pub(crate) struct TrainedEpoch {
    pub(crate) epoch: u32,
    pub(crate) train_us: u64,
    /// Part of the time in which the loop waited for a batch.
    pub(crate) waited: Duration,
    pub(crate) loss_sum: f64,
    pub(crate) updates: u64,
    pub(crate) accuracy: Accuracy,
}

/// One pass over the training images; its time is the epoch's time (digest §5).
pub(crate) fn train_epoch(
    spec: &TrainSpec,
    images: &Arc<Images>,
    epoch: u32,
    student: &mut Student,
    step: &mut dyn Step,
    monitor: &mut Monitor<'_>,
) -> Result<TrainedEpoch, Halt> {
    let (device, dtype) = (student.network().device().clone(), student.dtype());
    let image_work = work::training(&spec.method);
    let (mut waited, mut loss_sum, mut updates) = (Duration::ZERO, 0.0, 0);
    let mut accuracy = Accuracy { correct: 0, total: 0 };
    let stopwatch = Stopwatch::start(&device)?;
    let mut batches = train_batches(images, spec.augmentation, spec.batch_size.get() as usize, spec.seed, epoch);
    for number in 1.. {
        monitor.proceed()?;
        let asked = Instant::now();
        let Some(batch) = batches.next().transpose().map_err(TrainError::from)? else { break };
        waited += asked.elapsed();
        let batch = TrainBatch::new(batch, epoch, &device, dtype)?;
        let stats = one_step(step, student, &batch, spec.seed).map_err(|error| diverged(error, epoch, number))?;
        loss_sum += stats.loss_sum;
        updates += u64::from(stats.updates);
        accuracy.correct += stats.accuracy.correct;
        accuracy.total += stats.accuracy.total;
        monitor.advance(stats.accuracy.total, stats.accuracy.total * image_work);
    }
    let trained = TrainedEpoch { epoch, train_us: stopwatch.elapsed_us()?, waited, loss_sum, updates, accuracy };
    tracing::info!(epoch, train_us = trained.train_us, waited = ?trained.waited, loss = trained.mean_loss(), "epoch trained");
    Ok(trained)
}

/// What a step draws depends on the seed and its number in the training, not on the steps before: a resumed training goes on as
/// if nothing had happened.
fn one_step(
    step: &mut dyn Step,
    student: &mut Student,
    batch: &TrainBatch,
    seed: u64,
) -> Result<StepStats, UpdateError> {
    student.network().restart_dropout(seed, student.step());
    step.step(student, batch)
}

impl TrainedEpoch {
    fn mean_loss(&self) -> f64 {
        self.loss_sum / self.updates as f64
    }

    fn record(
        &self,
        spec: &TrainSpec,
        student: &Student,
        outcomes: &[ImageOutcome],
        validation_us: u64,
    ) -> EpochRecord {
        EpochRecord {
            epoch: self.epoch,
            train_us: self.train_us,
            validation_us,
            images: self.accuracy.total,
            learning_rate: student.last_rate().learning_rate,
            loss: self.mean_loss(),
            train: self.accuracy,
            natural: natural_accuracy(outcomes),
            robust: spec.validation.attack.as_ref().map(|_| robust_accuracy(outcomes)),
        }
    }
}

fn open_images(spec: &TrainSpec, environment: &Environment) -> Result<(Arc<Images>, Images), TrainError> {
    let test = rrm_data::open(&spec.dataset, Split::Test, &environment.data_dir)?;
    let train = match &spec.training_set {
        Some(set) => open_set(set_path(set, environment)?, &test, spec.dataset.train_images)?,
        None => Arc::new(rrm_data::open(&spec.dataset, Split::Train, &environment.data_dir)?),
    };
    Ok((train, test))
}

fn load_initial(spec: &TrainSpec, images: &Images, environment: &Environment) -> Result<Option<Source>, TrainError> {
    let Some(initial) = &spec.initial else { return Ok(None) };
    let initial = Source::load(initial, environment)?;
    initial.must_take(images, "network to begin with")?;
    initial.must_classify(images, "network to begin with")?;
    Ok(Some(initial))
}

/// Refuses attacks that cannot be made on a network of so many classes.
fn must_attack(spec: &TrainSpec, images: &Images) -> Result<(), TrainError> {
    let in_training = match &spec.method {
        Method::AdversarialTraining { attack, .. } | Method::AdversariallyRobustDistillation { attack, .. } => {
            Some(attack)
        }
        Method::Natural
        | Method::FreeAdversarialTraining { .. }
        | Method::Rrm { .. }
        | Method::KnowledgeDistillation { .. }
        | Method::Trades { .. } => None,
    };
    let mut attacks = in_training.into_iter().chain(&spec.validation.attack);
    let check = |attack: &AttackSpec| attack.check_classes(images.classes() as u32);
    attacks.try_for_each(check).map_err(|faults| TrainError::Attack { faults })
}

fn load_teacher(spec: &TrainSpec, images: &Images, environment: &Environment) -> Result<Option<Source>, TrainError> {
    let Some(teacher) = spec.method.teacher() else { return Ok(None) };
    let teacher = Source::load(teacher, environment)?;
    teacher.must_take(images, "teacher")?;
    if !spec.method.matches_representations() {
        teacher.must_classify(images, "teacher")?;
    }
    if let Some(temperature) = spec.method.temperature_of_networks() {
        teacher.must_divide_by(temperature)?;
    }
    // As in the paper, whose students and teachers ran in the same mixed precision.
    Ok(Some(Source { network: teacher.network.with_precision(spec.precision), ..teacher }))
}

/// A student that matches representations has one as wide as its teacher's, by an adapter where its features are not.
fn network_spec(spec: &TrainSpec, images: &Images, teacher: Option<&Source>, initial: Option<&Source>) -> NetworkSpec {
    let width = |source: &Source| source.network.spec().representation_width;
    let usual = || initial.map_or_else(|| spec.arch.representation_width(), width);
    let own_width = spec.representation_width.map_or_else(usual, |width| width.get() as usize);
    NetworkSpec {
        arch: spec.arch,
        channels: images.shape().channels,
        classes: images.classes(),
        normalization: spec.normalization(),
        representation_width: match teacher {
            Some(teacher) if spec.method.matches_representations() => width(teacher),
            Some(_) | None => own_width,
        },
        temperature: spec.temperature,
    }
}

fn begin(
    spec: &TrainSpec,
    network: &NetworkSpec,
    initial: Option<Source>,
    timetable: Timetable,
    environment: &Environment,
) -> Result<Student, TrainError> {
    let network = match initial {
        None => Network::initialize(network, spec.seed, &environment.device, candle_core::DType::F32)?,
        Some(initial) if initial.network.spec() == network => initial.network,
        Some(initial) => {
            let [found, wanted] = told_apart(initial.network.spec(), network);
            let what = format!("the network to begin with is {found}, this training's is {wanted}");
            return Err(TrainError::Mismatch { what });
        }
    };
    Ok(Student::new(network, timetable)?)
}

/// Two unlike networks by their architecture and by what differs, such as `vgg11/16 with normalization identity`.
fn told_apart(one: &NetworkSpec, other: &NetworkSpec) -> [String; 2] {
    let fields = |spec: &NetworkSpec| {
        let NetworkSpec { arch: _, channels, classes, normalization, representation_width, temperature } = spec;
        [
            format!("channels {channels}"),
            format!("classes {classes}"),
            format!("normalization {normalization}"),
            format!("representation_width {representation_width}"),
            format!("temperature {temperature}"),
        ]
    };
    let (ones, others) = (fields(one), fields(other));
    let differs = |i: &usize| ones[*i] != others[*i];
    let told = |spec: &NetworkSpec, fields: &[String; 5]| {
        let different: Vec<&str> = (0..fields.len()).filter(differs).map(|i| fields[i].as_str()).collect();
        match different.as_slice() {
            [] => spec.arch.to_string(),
            different => format!("{} with {}", spec.arch, different.join(" and ")),
        }
    };
    [told(one, &ones), told(other, &others)]
}

fn validation<'a>(spec: &'a TrainSpec, test: &Images) -> Measurement<'a> {
    let wanted = spec.validation.images.map_or(test.len(), |images| images.get() as usize);
    Measurement {
        attack: spec.validation.attack.as_ref(),
        teacher: None,
        images: Some(wanted.min(test.len())),
        batch_size: spec.batch_size.get() as usize,
        seed: spec.seed,
        stream: Stream::Validation,
        epoch: 0,
    }
}

/// Names the step in which the training left the finite numbers. Since every update is looked at, no checkpoint is written over
/// a good one before its weights are known to be finite.
fn diverged(error: UpdateError, epoch: u32, step: u64) -> TrainError {
    match error {
        UpdateError::Compute(error) => TrainError::Compute(error),
        UpdateError::NotFinite(what) => TrainError::Diverged { epoch, step, what },
    }
}

#[cfg(test)]
#[path = "../tests/jobs/dataset.rs"]
pub(crate) mod dataset;

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, num::NonZeroU32, sync::atomic::AtomicBool};

    use candle_core::{DType, Device};
    use rrm_spec::{
        Augmentation, Dataset, JobSpec, Method, Mode, ModelSource, Normalization, OptimizerSpec, Precision,
        RepresentationLoss, Schedule, Validation,
    };

    use super::*;
    use crate::{
        Completion,
        interrupt::tests::{passes_of, stopped_in_pass},
        run,
    };

    const PGD: &str = r#"{"kind":"pgd","threat":{"norm":"linf","epsilon":"8/255"},"steps":10,"step_size":"1/255","start":"uniform","selection":"last"}"#;

    #[test]
    fn a_training_that_is_stopped_within_an_attack_ends_at_its_next_pass_and_goes_on_from_the_epoch_before() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = dataset::Recipe { images: (4, 2), ..dataset::Recipe::EASY };
        let plain = spec(dataset::write(folder.path(), "shades", recipe));
        let attack: AttackSpec = serde_json::from_str(PGD).unwrap();
        let threat = attack.threat().clone();
        let methods = [
            Method::AdversarialTraining { attack, attack_mode: Mode::Train },
            Method::Trades {
                threat,
                steps: NonZeroU32::new(10).unwrap(),
                step_size: "1/255".parse().unwrap(),
                beta: 6.0,
            },
        ];
        for (i, method) in methods.into_iter().enumerate() {
            let (epochs, arch) = (NonZeroU32::new(3).unwrap(), "vgg11/16".parse().unwrap());
            let job = JobSpec::Train(TrainSpec { method, epochs, arch, ..plain.clone() });
            let name = |work: &str| folder.path().join(format!("{work}-{i}"));
            let trained = |work: &str, resume: Option<&str>| {
                let resume = resume.map(|work| name(work).join("resume.safetensors"));
                let environment = Environment { work_dir: name(work), resume, ..environment(folder.path()) };
                run(&job, &environment, &mut |_| ()).unwrap()
            };
            let (ended, passes) = passes_of(|| trained("whole", None));
            assert!(ended == Completion::Finished && passes >= 3 * 10, "{passes} passes");
            let last = passes / 2;
            let (ended, made) = stopped_in_pass(last, || trained("stopped", None));
            assert_eq!((ended, made), (Completion::Stopped, last));
            assert_eq!(trained("after", Some("stopped")), Completion::Finished);
            let network = |work: &str| std::fs::read(name(work).join("final.safetensors")).unwrap();
            assert!(network("after") == network("whole"));
        }
    }

    #[test]
    fn networks_are_told_apart_by_their_architecture_and_by_what_differs_alone() {
        let one = NetworkSpec {
            arch: "vgg11/16".parse().unwrap(),
            channels: 3,
            classes: 2,
            normalization: Normalization::Identity,
            representation_width: 32,
            temperature: 1.0,
        };
        let other = NetworkSpec { normalization: Normalization::Cifar10Fast, temperature: 30.0, ..one.clone() };
        let told = ["identity and temperature 1", "cifar10-fast and temperature 30"];
        assert_eq!(told_apart(&one, &other), told.map(|what| format!("vgg11/16 with normalization {what}")));
        let deeper = NetworkSpec { arch: "resnet18/16".parse().unwrap(), ..one.clone() };
        assert_eq!(told_apart(&one, &deeper), ["vgg11/16", "resnet18/16"]);
    }

    fn environment(folder: &std::path::Path) -> Environment {
        Environment {
            device: Device::Cpu,
            data_dir: folder.to_owned(),
            work_dir: folder.to_owned(),
            inputs: HashMap::new(),
            artifacts: HashMap::new(),
            resume: None,
            stop: Arc::default(),
        }
    }

    /// Large images, which no data set has yet.
    fn large_batches() -> Vec<TrainBatch> {
        let batch = |number: u64| {
            let mut rng = rrm_data::ImageRng::new(number, Stream::Augmentation, &[]);
            let images = (0..3 * 3 * 224 * 224).map(|_| rng.uniform() as f32).collect();
            let shape = rrm_data::Shape { channels: 3, height: 224, width: 224 };
            let batch = rrm_data::Batch { images, labels: vec![0, 1, 2], indices: vec![0, 1, 2], shape };
            TrainBatch::new(batch, 1, &Device::Cpu, DType::F32).unwrap()
        };
        (0..2).map(batch).collect()
    }

    #[test]
    fn what_is_dropped_after_a_resumption_is_what_would_have_been_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = dataset::Recipe { images: (4, 1), ..dataset::Recipe::EASY };
        let spec = spec(dataset::write(folder.path(), "shades", recipe));
        let images = rrm_data::open(&spec.dataset, Split::Train, folder.path()).unwrap();
        let identity = Identity::new(&spec, None, None, &images);
        let batches = large_batches();
        for arch in ["alexnet/16", "vgg16/16"] {
            let network = NetworkSpec {
                arch: arch.parse().unwrap(),
                classes: 3,
                normalization: Normalization::RestrictedImageNet,
                representation_width: 128,
                channels: 3,
                temperature: 1.0,
            };
            let timetable = || Timetable::new(&spec.optimizer, 2, batches.len() as u64);
            let epoch = |student: &mut Student, seed| {
                batches.iter().for_each(|batch| {
                    one_step(&mut step::Natural, student, batch, seed).unwrap();
                });
            };
            let begin = || {
                let network = Network::initialize(&network, 1, &Device::Cpu, DType::F32).unwrap();
                Student::new(network, timetable()).unwrap()
            };
            let trained = |seeds: [u64; 2]| {
                let mut student = begin();
                seeds.into_iter().for_each(|seed| epoch(&mut student, seed));
                weights(&student)
            };
            let uninterrupted = trained([7, 7]);
            assert_ne!(trained([7, 8]), uninterrupted, "{arch}: nothing is dropped");

            let (path, mut student) = (folder.path().join("resume.safetensors"), begin());
            epoch(&mut student, 7);
            checkpoint::save_resume(&path, &student, &step::Natural, 1, &identity).unwrap();
            let resumed = checkpoint::resume(&path, &identity, &network, timetable(), &mut step::Natural, &Device::Cpu);
            let (mut student, _) = resumed.unwrap();
            epoch(&mut student, 7);
            assert_eq!(weights(&student), uninterrupted, "{arch}");
        }
    }

    fn weights(student: &Student) -> Vec<Vec<f32>> {
        let numbers = |(_, tensor): (String, candle_core::Tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap();
        student.network().state().into_iter().map(numbers).collect()
    }

    fn spec(dataset: Dataset) -> TrainSpec {
        TrainSpec {
            dataset,
            training_set: None,
            augmentation: Augmentation::Light,
            normalization: None,
            arch: "resnet18/16".parse().unwrap(),
            representation_width: None,
            initial: None,
            temperature: 1.0,
            method: Method::Natural,
            optimizer: OptimizerSpec {
                learning_rate: 0.01,
                momentum: 0.9,
                weight_decay: 0.0,
                schedule: Schedule::Constant,
            },
            epochs: NonZeroU32::MIN,
            batch_size: NonZeroU32::new(32).unwrap(),
            precision: Precision::F32,
            seed: 1,
            validation: Validation::default(),
        }
    }

    #[test]
    fn a_teacher_computes_as_its_student_does() {
        let folder = tempfile::tempdir().unwrap();
        let dataset =
            dataset::write(folder.path(), "shades", dataset::Recipe { images: (1, 1), ..dataset::Recipe::EASY });
        let images = rrm_data::open(&dataset, Split::Train, folder.path()).unwrap();
        let (plain, path) = (spec(dataset), folder.path().join("teacher.safetensors"));
        let network = network_spec(&plain, &images, None, None);
        Network::initialize(&network, 1, &Device::Cpu, DType::F32).unwrap().save(&path).unwrap();
        let teacher = ModelSource::Checkpoint(path);
        let method = Method::Rrm {
            teacher,
            representation_loss: RepresentationLoss::Cosine,
            lambda: 0.1,
            replays: NonZeroU32::MIN,
        };
        let environment = environment(folder.path());
        for precision in Precision::ALL {
            let spec = TrainSpec { precision, method: method.clone(), ..plain.clone() };
            let teacher = load_teacher(&spec, &images, &environment).unwrap().unwrap();
            assert_eq!(teacher.network.precision(), precision);
        }
    }

    #[test]
    fn waiting_for_images_is_a_small_part_of_an_epoch_even_of_the_smallest_network() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = dataset::Recipe { images: (160, 1), ..dataset::Recipe::EASY };
        let spec = spec(dataset::write(folder.path(), "shades", recipe));
        let images = Arc::new(rrm_data::open(&spec.dataset, Split::Train, folder.path()).unwrap());
        let network = network_spec(&spec, &images, None, None);
        let network = Network::initialize(&network, 1, &Device::Cpu, DType::F32).unwrap();
        let mut student = Student::new(network, Timetable::new(&spec.optimizer, 1, 10)).unwrap();
        let (mut sink, stop) = (|_| (), AtomicBool::new(false));
        let mut monitor = Monitor::new(&mut sink, &stop);
        let trained = train_epoch(&spec, &images, 1, &mut student, &mut step::Natural, &mut monitor).unwrap();
        let share = trained.waited.as_secs_f64() * 1e6 / trained.train_us as f64;
        // The first batch is waited for in full; the others are ready. Measured: under 1 %.
        assert!(share < 0.1, "{:.1} % of the epoch was spent waiting", share * 100.0);
    }
}
