//! Steps of whole networks, against the same steps on the CPU.

use candle_core::{DType, Device, Tensor, Var};
use rrm_losses::cross_entropy;
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Arch, Mode, Normalization, OptimizerSpec, Precision, Schedule};
use rrm_train::step::Natural;
use rrm_train::{Step, Student, Timetable, TrainBatch};

use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![
        ("training_steps_in_f64_agree_with_the_cpu_to_rounding", training_in_f64),
        ("a_training_step_in_f32_agrees_with_the_cpu", training_in_f32),
        ("a_training_step_in_bf16_moves_the_weights_as_the_cpus_in_f32", training_in_bf16),
        ("an_attack_step_agrees_with_the_cpu", attack_step),
    ]
}

/// In their own width, and in f32.
const WIDE: [&str; 3] = ["resnet18", "vgg11", "dnn"];
/// Every network, narrow, since the CPU makes the same steps in f64.
const NARROW: [&str; 9] = [
    "resnet18/8",
    "vgg11/8",
    "dnn/8",
    "vgg19/16",
    "preactresnet18/16",
    "resnet50/16",
    "alexnet/16",
    "vgg16/16",
    "resnet50-imagenet/16",
];

fn parsed(arch: &str) -> anyhow::Result<Arch> {
    arch.parse().map_err(|error| anyhow::anyhow!("{arch}: {error}"))
}

pub(crate) fn network(arch: &str, device: &Device) -> anyhow::Result<Network> {
    of_type(arch, device, DType::F32)
}

fn of_type(arch: &str, device: &Device, dtype: DType) -> anyhow::Result<Network> {
    let arch = parsed(arch)?;
    let spec = NetworkSpec {
        arch,
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Fast,
        representation_width: arch.representation_width(),
        temperature: 1.0,
    };
    Ok(Network::initialize(&spec, 7, device, dtype)?)
}

/// 32 images of 32×32 pixels.
pub(crate) fn batch(device: &Device) -> anyhow::Result<TrainBatch> {
    of_size(32, 32, device, DType::F32)
}

fn of_size(images: usize, side: usize, device: &Device, dtype: DType) -> anyhow::Result<TrainBatch> {
    let pixels: Vec<f64> = (0..images * 3 * side * side).map(|i| ((i * 7919) % 1009) as f64 / 1008.0).collect();
    let classes: Vec<u32> = (0..images as u32).map(|i| i * 7 % 10).collect();
    Ok(TrainBatch {
        pixels: Tensor::from_vec(pixels, (images, 3, side, side), device)?.to_dtype(dtype)?,
        labels: Tensor::new(&classes[..], device)?,
        indices: (0..images as u32).collect(),
        classes,
        epoch: 1,
    })
}

/// Length of the difference over the length of `expected`.
fn error(got: &Tensor, expected: &Tensor) -> candle_core::Result<f64> {
    let on_cpu = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let (got, expected) = (on_cpu(got)?, on_cpu(expected)?);
    let length = |t: Tensor| t.sqr()?.sum_all()?.to_scalar::<f64>().map(f64::sqrt);
    let difference = length((got - &expected)?)?;
    Ok(if difference == 0.0 { 0.0 } else { difference / length(expected)? })
}

/// The losses of some updates on one batch, and the student after them.
fn trained(arch: &str, updates: usize, device: &Device, dtype: DType) -> anyhow::Result<(Vec<f64>, Student)> {
    trained_in(Precision::F32, arch, updates, device, dtype)
}

fn trained_in(
    precision: Precision,
    arch: &str,
    updates: usize,
    device: &Device,
    dtype: DType,
) -> anyhow::Result<(Vec<f64>, Student)> {
    let optimizer =
        OptimizerSpec { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, schedule: Schedule::Constant };
    let student = Student::new(of_type(arch, device, dtype)?, Timetable::new(&optimizer, 1, 100))?;
    let mut student = student.with_precision(precision);
    let side = parsed(arch)?.family().image_side();
    let batch = of_size(if side > 32 { 4 } else { 32 }, side, device, dtype)?;
    let losses = (0..updates).map(|_| Ok(Natural.step(&mut student, &batch)?.loss_sum));
    Ok((losses.collect::<anyhow::Result<_>>()?, student))
}

/// By how much of themselves the losses of some updates may be off, and by how much of its length a parameter after them.
#[derive(Clone, Copy)]
struct Tolerance {
    loss: f64,
    parameter: f64,
}

fn compare(arch: &str, updates: usize, device: &Device, dtype: DType, tolerance: Tolerance) -> Outcome {
    let (losses, student) = trained(arch, updates, device, dtype).map_err(|error| format!("{arch}: {error}"))?;
    let (expected, reference) = trained(arch, updates, &Device::Cpu, dtype).map_err(|error| error.to_string())?;
    println!("    {arch} in {dtype:?}: losses {losses:?}, on the CPU {expected:?}");
    for (loss, expected) in losses.iter().zip(&expected) {
        let off = (loss - expected).abs() / expected.abs();
        if off.is_nan() || off > tolerance.loss {
            return Err(format!("{arch} in {dtype:?}: losses {losses:?} instead of {expected:?}").into());
        }
    }
    let mut worst = (0.0, String::new());
    for ((name, got), (_, expected)) in student.network().parameters().iter().zip(reference.network().parameters()) {
        let error = error(got, expected)?;
        if error.is_nan() || error > worst.0 {
            worst = (error, name.clone());
        }
    }
    println!("    {arch} in {dtype:?}: parameters are off by {:.1e} at most, in {}", worst.0, worst.1);
    if worst.0.is_nan() || worst.0 > tolerance.parameter {
        return Err(format!("{arch} in {dtype:?}: {} is off by {:.1e}", worst.1, worst.0).into());
    }
    Ok(())
}

/// Runs all checks before it fails: a device may be lent for a short time.
fn every(checks: impl Iterator<Item = Outcome>) -> Outcome {
    let failures: Vec<String> =
        checks.filter_map(Outcome::err).filter_map(|failed| failed.message().map(str::to_owned)).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// In f64 no number is so near to 0 that a rounding flips a ReLU, so that three updates stay together.
fn training_in_f64(device: &Device) -> Outcome {
    let tolerance = Tolerance { loss: 1e-9, parameter: 1e-8 };
    every(NARROW.into_iter().map(|arch| compare(arch, 3, device, DType::F64, tolerance)))
}

/// In f32 some of the million numbers that a ReLU sees are as near to 0 as a rounding. Each that flips puts its share of a
/// gradient elsewhere, and momentum does the rest: so one update is compared, not several, and its gradients loosely. They show
/// in the norms' shifts, which were 0 before.
fn training_in_f32(device: &Device) -> Outcome {
    let tolerance = Tolerance { loss: 1e-5, parameter: 5e-2 };
    every(WIDE.into_iter().map(|arch| compare(arch, 1, device, DType::F32, tolerance)))
}

/// By how much a first step moved each parameter, in the network's order, on the host.
fn moves(arch: &str, student: &Student) -> anyhow::Result<Vec<f64>> {
    let before = network(arch, &Device::Cpu)?;
    let mut moves = Vec::new();
    for ((name, old), (_, new)) in before.parameters().iter().zip(student.network().parameters()) {
        anyhow::ensure!(new.dtype() == DType::F32, "{arch}: {name} became {:?}", new.dtype());
        let moved = (new.to_device(&Device::Cpu)? - old.as_tensor())?;
        moves.extend(moved.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
    }
    Ok(moves)
}

/// In bf16 a handful of ReLUs in a hundred flip, and the gradients behind them go elsewhere: what is compared is where all weights
/// together went, and how far.
fn in_bf16(arch: &str, device: &Device) -> anyhow::Result<()> {
    let (loss, student) = trained_in(Precision::Bf16, arch, 1, device, DType::F32)?;
    let (expected_loss, reference) = trained(arch, 1, &Device::Cpu, DType::F32)?;
    let (got, expected) = (moves(arch, &student)?, moves(arch, &reference)?);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (length, expected_length) = (product(&got, &got).sqrt(), product(&expected, &expected).sqrt());
    let (cosine, ratio) = (product(&got, &expected) / (length * expected_length), length / expected_length);
    println!("    {arch} in bf16: loss {loss:?} for {expected_loss:?}, cosine {cosine:.4}, length {ratio:.4} of f32's");
    let near =
        (loss[0] - expected_loss[0]).abs() < 2e-2 * expected_loss[0] && (ratio - 1.0).abs() < 0.1 && cosine > 0.9;
    anyhow::ensure!(near, "{arch} in bf16: loss {loss:?} for {expected_loss:?}, cosine {cosine}, length {ratio}");
    anyhow::ensure!(got != expected, "{arch}: bf16 made no difference");
    Ok(())
}

fn training_in_bf16(device: &Device) -> Outcome {
    every(WIDE.into_iter().map(|arch| in_bf16(arch, device).map_err(|error| error.to_string().into())))
}

/// Logits, and the gradient of the pixels.
fn attacked(arch: &str, device: &Device) -> anyhow::Result<[Tensor; 2]> {
    let (victim, batch) = (network(arch, device)?.frozen(), batch(device)?);
    let pixels = Var::from_tensor(&batch.pixels)?;
    let logits = victim.forward(pixels.as_tensor(), Mode::Eval)?.logits;
    let gradients = cross_entropy(&logits, &batch.labels)?.sum_all()?.backward()?;
    let gradient = gradients.get(&pixels).ok_or_else(|| anyhow::anyhow!("the pixels have no gradient"))?;
    Ok([logits.detach(), gradient.clone()])
}

fn attack_step(device: &Device) -> Outcome {
    for arch in WIDE {
        let [logits, gradient] = attacked(arch, device).map_err(|error| error.to_string())?;
        let [expected, reference] = attacked(arch, &Device::Cpu).map_err(|error| error.to_string())?;
        let (of_logits, of_gradient) = (error(&logits, &expected)?, error(&gradient, &reference)?);
        let flat = |t: &Tensor| t.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>();
        let (got, reference) = (flat(&gradient)?, flat(&reference)?);
        let agree = got.iter().zip(&reference).filter(|(a, b)| a.signum() == b.signum()).count();
        let share = agree as f64 / got.len() as f64;
        println!(
            "    {arch}: logits off by {of_logits:.1e}, gradient by {of_gradient:.1e}, {share:.5} of its signs agree"
        );
        if of_logits.is_nan() || of_logits > 1e-4 || of_gradient.is_nan() || of_gradient > 1e-2 || share < 0.999 {
            return Err(format!("{arch}: {of_logits:.1e}, {of_gradient:.1e}, {share}").into());
        }
    }
    Ok(())
}
