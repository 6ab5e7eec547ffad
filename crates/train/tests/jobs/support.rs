//! A place to run jobs in, and specs of small ones.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use candle_core::{DType, Device, Tensor};
use rrm_models::{Network, NetworkSpec};
use rrm_spec::{
    Accuracy, AttackSpec, Augmentation, CheckpointRole, Dataset, DistillationForm, EpochRecord, EvaluateSpec,
    EvaluationRecord, Event, JobId, JobRef, JobSpec, Method, Mode, ModelSource, Norm, Normalization, OptimizerSpec,
    Perturbation, PgdDialect, PgdSelection, PgdSpec, PgdStart, PgdTarget, Precision, Record, RepresentationLoss,
    Schedule, ThreatModel, TrainSpec, Validation,
};
use rrm_train::{Completion, Environment, Student, Timetable, TrainBatch, TrainError, run};

use crate::dataset::{self, Recipe};

/// The job that specs refer to as a teacher, or as what is evaluated: in which folder it lies is the environment's to say.
const TEACHER: JobId = JobId(1);

pub(crate) fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// A temporary folder with a dataset, in which jobs run.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) dataset: Dataset,
}

impl Bench {
    pub(crate) fn new(recipe: Recipe) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset::write(folder.path(), "shades", recipe);
        Self { folder, dataset }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An environment whose checkpoints go to the folder `work`.
    pub(crate) fn environment(&self, work: &str) -> Environment {
        Environment {
            device: Device::Cpu,
            data_dir: self.folder.path().to_owned(),
            work_dir: self.path(work),
            inputs: HashMap::new(),
            artifacts: HashMap::new(),
            resume: None,
            stop: Arc::default(),
        }
    }

    /// The same with the final network of the job in the folder `teacher`.
    pub(crate) fn environment_with(&self, work: &str, teacher: &str) -> Environment {
        let inputs = HashMap::from([(TEACHER, self.path(teacher).join("final.safetensors"))]);
        Environment { inputs, ..self.environment(work) }
    }

    /// Trains to the end and returns the epochs' records.
    pub(crate) fn train(&self, spec: &TrainSpec, environment: &Environment) -> Vec<EpochRecord> {
        let (outcome, records) = records(&JobSpec::Train(spec.clone()), environment, |_| false);
        assert_eq!(outcome.unwrap(), Completion::Finished);
        epochs(&records)
    }

    /// Evaluates the job's final network on all test images.
    pub(crate) fn evaluate(&self, work: &str, attack: AttackSpec, batch_size: u32) -> EvaluationRecord {
        let environment = self.environment_with("evaluation", work);
        let (outcome, mut told) = records(&self.evaluation(attack, batch_size), &environment, |_| false);
        assert_eq!(outcome.unwrap(), Completion::Finished);
        // A long one has checkpoints.
        told.retain(|record| !matches!(record, Record::Checkpoint(_)));
        assert!(matches!(told.as_slice(), [Record::Started(_), Record::Evaluation(_)]), "{told:?}");
        match told.pop() {
            Some(Record::Evaluation(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn evaluation(&self, attack: AttackSpec, batch_size: u32) -> JobSpec {
        JobSpec::Evaluate(EvaluateSpec {
            model: ModelSource::Job(JobRef::Id(TEACHER)),
            dataset: self.dataset.clone(),
            images: None,
            attack,
            epsilons: Vec::new(),
            teacher: None,
            temperature: None,
            diagnostics: None,
            batch_size: count(batch_size),
            seed: 5,
            keep_images: false,
        })
    }

    /// A small job; tests change what they are about.
    pub(crate) fn spec(&self, arch: &str, method: Method) -> TrainSpec {
        TrainSpec {
            dataset: self.dataset.clone(),
            training_set: None,
            augmentation: Augmentation::None,
            normalization: None,
            arch: arch.parse().unwrap(),
            representation_width: None,
            initial: None,
            temperature: 1.0,
            method,
            optimizer: OptimizerSpec {
                learning_rate: 0.05,
                momentum: 0.9,
                weight_decay: 5e-4,
                schedule: Schedule::Cosine,
            },
            epochs: count(3),
            batch_size: count(10),
            precision: Precision::F32,
            seed: 11,
            validation: Validation::default(),
        }
    }
}

/// Runs a job and returns how it ended and all its records; told to stop after the record for which `stop_after` holds.
pub(crate) fn records(
    spec: &JobSpec,
    environment: &Environment,
    stop_after: impl Fn(&Record) -> bool,
) -> (Result<Completion, TrainError>, Vec<Record>) {
    let mut records = Vec::new();
    let outcome = run(spec, environment, &mut |event| match event {
        Event::Record(record) => {
            environment.stop.fetch_or(stop_after(&record), Ordering::Relaxed);
            records.push(record);
        }
        Event::Progress(progress) => assert!(progress.done <= progress.total, "{progress:?}"),
        other => panic!("only progress and records are the trainer's to tell, not {other:?}"),
    });
    (outcome, records)
}

pub(crate) fn epochs(records: &[Record]) -> Vec<EpochRecord> {
    let epoch = |record: &Record| match record {
        Record::Epoch(epoch) => Some(epoch.clone()),
        _ => None,
    };
    records.iter().filter_map(epoch).collect()
}

/// The record of a resume checkpoint that closes `epoch`.
pub(crate) fn closes(epoch: u32) -> impl Fn(&Record) -> bool {
    move |record| match record {
        Record::Checkpoint(checkpoint) => checkpoint.role == CheckpointRole::Resume && checkpoint.epoch == epoch,
        _ => false,
    }
}

pub(crate) fn fraction(accuracy: Accuracy) -> f64 {
    accuracy.fraction().unwrap()
}

pub(crate) fn pgd(epsilon: &str, step_size: &str, steps: u32, selection: PgdSelection) -> AttackSpec {
    AttackSpec::Pgd(PgdSpec {
        threat: ThreatModel { norm: Norm::Linf, epsilon: epsilon.parse().unwrap() },
        steps: count(steps),
        step_size: step_size.parse().unwrap(),
        start: PgdStart::Uniform,
        selection,
        restarts: count(1),
        target: PgdTarget::Untargeted,
        eot: count(1),
        dialect: PgdDialect::Madry,
    })
}

/// A network of small images in f64, for single steps.
pub(crate) fn network(arch: &str, seed: u64, width: usize) -> Network {
    let spec = NetworkSpec {
        arch: arch.parse().unwrap(),
        channels: 3,
        classes: 4,
        normalization: Normalization::Identity,
        representation_width: width,
        temperature: 1.0,
    };
    Network::initialize(&spec, seed, &Device::Cpu, DType::F64).unwrap()
}

pub(crate) fn student(network: Network, epochs: u32, steps: u64) -> Student {
    let optimizer = OptimizerSpec { learning_rate: 0.1, momentum: 0.9, weight_decay: 5e-4, schedule: Schedule::Cosine };
    Student::new(network, Timetable::new(&optimizer, epochs, steps)).unwrap()
}

pub(crate) fn batch() -> TrainBatch {
    let mut rng = rrm_data::ImageRng::new(3, rrm_data::Stream::Augmentation, &[]);
    let pixels: Vec<f64> = (0..6 * 3 * 32 * 32).map(|_| rng.uniform()).collect();
    let classes = vec![0, 1, 2, 3, 0, 1];
    TrainBatch {
        pixels: Tensor::from_vec(pixels, (6, 3, 32, 32), &Device::Cpu).unwrap(),
        labels: Tensor::new(classes.as_slice(), &Device::Cpu).unwrap(),
        classes,
        indices: vec![4, 8, 15, 16, 23, 42],
        epoch: 1,
    }
}

/// A copy of every weight, running statistic and counter.
pub(crate) fn state(network: &Network) -> Vec<(String, Vec<f64>)> {
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    network.state().into_iter().map(|(key, tensor)| (key, values(tensor))).collect()
}

/// MadryLab's form: attacked in eval mode, the best iterate.
pub(crate) fn sat(epsilon: &str, step_size: &str, steps: u32) -> Method {
    let attack = pgd(epsilon, step_size, steps, PgdSelection::BestLoss);
    Method::AdversarialTraining { attack, attack_mode: Mode::Eval }
}

/// The authors' "Fast AT": attacked in train mode, the last iterate.
pub(crate) fn fast_at(epsilon: &str, step_size: &str, steps: u32) -> Method {
    let attack = pgd(epsilon, step_size, steps, PgdSelection::Last);
    Method::AdversarialTraining { attack, attack_mode: Mode::Train }
}

pub(crate) fn rrm(lambda: f64, replays: u32, representation_loss: RepresentationLoss) -> Method {
    let teacher = ModelSource::Job(JobRef::Id(TEACHER));
    Method::Rrm { teacher, representation_loss, lambda, replays: count(replays) }
}

/// Wong et al.'s single step, by a quarter longer than the radius.
pub(crate) fn fgsm(epsilon: &str, step_size: &str) -> Method {
    fast_at(epsilon, step_size, 1)
}

/// With steps as long as the radius.
pub(crate) fn free(epsilon: &str, replays: u32, perturbation: Perturbation) -> Method {
    let threat = ThreatModel { norm: Norm::Linf, epsilon: epsilon.parse().unwrap() };
    let step_size = threat.epsilon.clone();
    Method::FreeAdversarialTraining { threat, step_size, replays: count(replays), perturbation }
}

pub(crate) fn distillation(temperature: f64, alpha: f64, form: DistillationForm) -> Method {
    let teacher = ModelSource::Job(JobRef::Id(TEACHER));
    Method::KnowledgeDistillation { teacher, temperature, alpha, form }
}

/// Goldblum et al.'s: attacked in train mode.
pub(crate) fn robust_distillation(epsilon: &str, step_size: &str, steps: u32, alpha: f64) -> Method {
    Method::AdversariallyRobustDistillation {
        teacher: ModelSource::Job(JobRef::Id(TEACHER)),
        attack: pgd(epsilon, step_size, steps, PgdSelection::Last),
        attack_mode: Mode::Train,
        temperature: 4.0,
        alpha,
        form: DistillationForm::Textbook,
    }
}

pub(crate) fn trades(epsilon: &str, step_size: &str, steps: u32, beta: f64) -> Method {
    let threat = ThreatModel { norm: Norm::Linf, epsilon: epsilon.parse().unwrap() };
    Method::Trades { threat, steps: count(steps), step_size: step_size.parse().unwrap(), beta }
}

pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
