//! How fast a network trains, is attacked and is evaluated on a device, without any data set.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use candle_core::{DType, Device, Tensor, Var};
use rrm_data::{ImageRng, Stream};
use rrm_losses::cross_entropy;
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Arch, Mode, Normalization, OptimizerSpec, Precision, RepresentationLoss, Schedule};
use serde::Serialize;

use crate::{
    TrainError,
    device::{Stopwatch, device_name, warn_where_missing},
    schedule::Timetable,
    step::{Natural, Rrm, Step, TrainBatch},
    student::{Student, UpdateError},
};

/// Colour, as in every data set of the paper.
const CHANNELS: usize = 3;

/// Of cross-entropy in an RRM step, as in the paper's l∞ runs (digest §2.2); its value costs no time.
const LAMBDA: f64 = 5e-3;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum Workload {
    /// A natural training step: forward, backward, update.
    Train,
    /// A gradient step of an attack: forward in eval mode on frozen weights, backward to the image.
    Attack,
    /// A forward pass in eval mode.
    Eval,
    /// A training step of RRM: a teacher's forward pass, and the training step of its student.
    Rrm {
        /// The teacher's network.
        teacher: Arch,
    },
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "train" => Ok(Self::Train),
            "attack" => Ok(Self::Attack),
            "eval" => Ok(Self::Eval),
            _ => match text.strip_prefix("rrm:") {
                Some(teacher) => Ok(Self::Rrm { teacher: teacher.parse().map_err(|e| format!("{e}"))? }),
                None => Err(format!("unknown workload `{text}`: use train, attack, eval or rrm:TEACHER")),
            },
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Train => f.write_str("train"),
            Self::Attack => f.write_str("attack"),
            Self::Eval => f.write_str("eval"),
            Self::Rrm { teacher } => write!(f, "rrm:{teacher}"),
        }
    }
}

impl From<Workload> for String {
    fn from(workload: Workload) -> Self {
        workload.to_string()
    }
}

/// What to time, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The network.
    pub arch: Arch,
    /// What it does.
    pub workload: Workload,
    /// Images per step.
    pub batch_size: NonZeroU32,
    /// What the networks compute in, the teacher's too.
    pub precision: Precision,
    /// Steps before the first that counts.
    pub warm_up: u32,
    /// Steps that count.
    pub steps: NonZeroU32,
}

impl Request {
    /// A request in f32, with a warm-up and a number of steps that make the median steady.
    pub fn new(arch: Arch, workload: Workload, batch_size: NonZeroU32) -> Self {
        let steps = const { NonZeroU32::new(9).expect("not zero") };
        Self { arch, workload, batch_size, precision: Precision::F32, warm_up: 2, steps }
    }
}

/// Speed of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// The network.
    pub arch: Arch,
    /// What it did.
    pub workload: Workload,
    /// Images per step.
    pub batch_size: u32,
    /// What was asked for; a processor without products of bf16 computes in f32 all the same.
    pub precision: Precision,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the CPU kernels.
    pub threads: usize,
    /// Steps that were timed.
    pub steps: u32,
    /// Median time of a step, in microseconds.
    pub median_us: u64,
    /// Time of the fastest step, in microseconds.
    pub min_us: u64,
    /// By the median.
    pub images_per_second: f64,
    /// By the fastest step.
    pub best_images_per_second: f64,
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arch, workload, batch_size, precision, device, threads, .. } = self;
        write!(
            f,
            "{arch} {workload} at batch {batch_size} in {precision} on {device} with {threads} threads: {:.1} images/s (best {:.1})",
            self.images_per_second, self.best_images_per_second
        )
    }
}

/// Times a workload on random images.
///
/// # Errors
/// [`TrainError::OutOfMemory`] where the device does not hold the batch; [`TrainError::Compute`] where it fails.
pub fn measure(request: &Request, device: &Device) -> Result<Throughput, TrainError> {
    warn_where_missing(request.precision, device);
    let measured = times(request, device).map_err(|error| error.at_batch_size(request.batch_size.get()));
    Ok(summary(request, device, measured?))
}

fn times(request: &Request, device: &Device) -> Result<Vec<Duration>, TrainError> {
    let Request { arch, workload, batch_size, precision, .. } = *request;
    let mut work = Work::prepare(arch, workload, batch_size, precision, device)?;
    for _ in 0..request.warm_up {
        work.step()?;
    }
    (0..request.steps.get()).map(|_| work.step()).collect()
}

/// A workload that is ready to be repeated: its network and its batch of random images are on the device.
pub struct Work {
    repeat: Box<dyn FnMut() -> candle_core::Result<()>>,
    device: Device,
}

impl Work {
    /// A network of `arch`, drawn anew, with `batch_size` images, that computes in `precision`.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`] where the device does not hold them; [`TrainError::Compute`] where it fails.
    pub fn prepare(
        arch: Arch,
        workload: Workload,
        batch_size: NonZeroU32,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let network = network(arch, precision, device)?;
        let batch = batch(network.spec(), batch_size.get() as usize, device)?;
        let repeat: Box<dyn FnMut() -> candle_core::Result<()>> = match workload {
            Workload::Train => training(Natural, network, batch)?,
            Workload::Attack => attack(&network, batch),
            Workload::Eval => {
                let victim = network.frozen();
                Box::new(move || victim.forward(&batch.pixels, Mode::Eval).map(drop))
            }
            Workload::Rrm { teacher } => {
                let teacher = self::network(teacher, precision, device)?;
                training(Rrm::new(&teacher, RepresentationLoss::Cosine, LAMBDA, NonZeroU32::MIN), network, batch)?
            }
        };
        Ok(Self { repeat, device: device.clone() })
    }

    /// Does the work once; returns how long it took.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn step(&mut self) -> Result<Duration, TrainError> {
        let stopwatch = Stopwatch::start(&self.device)?;
        (self.repeat)()?;
        Ok(stopwatch.elapsed()?)
    }
}

/// Training steps of `method` on one batch, again and again.
fn training(
    mut method: impl Step + 'static,
    network: Network,
    batch: TrainBatch,
) -> candle_core::Result<Box<dyn FnMut() -> candle_core::Result<()>>> {
    let mut student = Student::new(network, timetable())?;
    Ok(Box::new(move || match method.step(&mut student, &batch) {
        Ok(_) => Ok(()),
        Err(UpdateError::Compute(error)) => Err(error),
        Err(diverged @ UpdateError::NotFinite(_)) => Err(candle_core::Error::wrap(diverged)),
    }))
}

/// Gradients of the summed loss with respect to one batch, again and again.
fn attack(network: &Network, batch: TrainBatch) -> Box<dyn FnMut() -> candle_core::Result<()>> {
    let victim = network.frozen();
    Box::new(move || {
        let pixels = Var::from_tensor(&batch.pixels)?;
        let logits = victim.forward(pixels.as_tensor(), Mode::Eval)?.logits;
        cross_entropy(&logits, &batch.labels)?.sum_all()?.backward().map(drop)
    })
}

/// As the paper trains it: on CIFAR-10, or for large images on Restricted-ImageNet.
fn network(arch: Arch, precision: Precision, device: &Device) -> Result<Network, TrainError> {
    let (classes, normalization) = match arch.family().image_side() {
        32 => (10, Normalization::Cifar10Fast),
        _ => (9, Normalization::RestrictedImageNet),
    };
    let representation_width = arch.representation_width();
    let spec = NetworkSpec { arch, channels: CHANNELS, classes, normalization, representation_width, temperature: 1.0 };
    Ok(Network::initialize(&spec, 0, device, DType::F32)?.with_precision(precision))
}

/// A rate at which random labels do not diverge.
fn timetable() -> Timetable {
    let optimizer =
        OptimizerSpec { learning_rate: 1e-3, momentum: 0.9, weight_decay: 5e-4, schedule: Schedule::Constant };
    Timetable::new(&optimizer, 1, u64::from(u32::MAX))
}

/// Random images of the network's size.
fn batch(network: &NetworkSpec, count: usize, device: &Device) -> candle_core::Result<TrainBatch> {
    let side = network.arch.family().image_side();
    let mut rng = ImageRng::new(0, Stream::Augmentation, &[]);
    let pixels: Vec<f32> = (0..count * CHANNELS * side * side).map(|_| rng.uniform() as f32).collect();
    let indices: Vec<u32> = (0..count as u32).collect();
    let classes: Vec<u32> = indices.iter().map(|i| i % network.classes as u32).collect();
    Ok(TrainBatch {
        pixels: Tensor::from_vec(pixels, (count, CHANNELS, side, side), device)?,
        labels: Tensor::new(classes.as_slice(), device)?,
        classes,
        indices,
        epoch: 1,
    })
}

fn summary(request: &Request, device: &Device, mut times: Vec<Duration>) -> Throughput {
    times.sort_unstable();
    let (median, min) = (times[times.len() / 2], times[0]);
    let speed = |time: Duration| f64::from(request.batch_size.get()) / time.as_secs_f64();
    Throughput {
        arch: request.arch,
        workload: request.workload,
        batch_size: request.batch_size.get(),
        precision: request.precision,
        device: device_name(device),
        threads: rrm_kernels::threads(),
        steps: request.steps.get(),
        median_us: median.as_micros() as u64,
        min_us: min.as_micros() as u64,
        images_per_second: speed(median),
        best_images_per_second: speed(min),
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::Family;

    use super::*;

    #[test]
    fn every_network_and_workload_has_a_speed() {
        for family in Family::ALL {
            let arch = Arch::new(family, 16).unwrap();
            let workloads = ["train".to_owned(), "attack".to_owned(), "eval".to_owned(), format!("rrm:{arch}")];
            for (workload, precision) in workloads.into_iter().zip(Precision::ALL.into_iter().cycle()) {
                let request = Request {
                    precision,
                    steps: NonZeroU32::new(3).unwrap(),
                    warm_up: 1,
                    ..Request::new(arch, workload.parse().unwrap(), NonZeroU32::new(4).unwrap())
                };
                let speed = measure(&request, &Device::Cpu).unwrap();
                assert!(speed.images_per_second > 0.0 && speed.best_images_per_second >= speed.images_per_second);
                assert_eq!((speed.batch_size, speed.steps, speed.device.as_str()), (4, 3, "cpu"));
                assert_eq!((speed.workload.to_string(), speed.precision), (workload, precision));
            }
        }
    }

    #[test]
    fn a_workload_that_there_is_not_is_refused() {
        for text in ["rest", "rrm", "rrm:nothing", "train:dnn"] {
            assert!(text.parse::<Workload>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_workload_is_called_by_its_name() {
        let names: [Workload; 3] = ["train", "attack", "eval"].map(|name| name.parse().unwrap());
        assert_eq!(names, [Workload::Train, Workload::Attack, Workload::Eval]);
        assert!("Train".parse::<Workload>().is_err());
    }
}
