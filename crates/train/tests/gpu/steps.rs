//! Steps of whole networks, against the same steps on the CPU.

use candle_core::{DType, Device, Tensor, Var};
use rrm_losses::cross_entropy;
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Mode, Normalization, OptimizerSpec, Schedule};
use rrm_train::step::Natural;
use rrm_train::{Step, Student, Timetable, TrainBatch};

use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![("training_steps_agree_with_the_cpu", training_steps), ("an_attack_step_agrees_with_the_cpu", attack_step)]
}

const ARCHITECTURES: [&str; 3] = ["resnet18", "vgg11", "dnn"];
const IMAGES: usize = 32;

pub(crate) fn network(arch: &str, device: &Device) -> anyhow::Result<Network> {
    let arch: rrm_spec::Arch = arch.parse().map_err(|error| anyhow::anyhow!("{arch}: {error}"))?;
    let spec = NetworkSpec {
        arch,
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Fast,
        representation_width: arch.representation_width(),
    };
    Ok(Network::initialize(&spec, 7, device, DType::F32)?)
}

pub(crate) fn batch(device: &Device) -> anyhow::Result<TrainBatch> {
    let pixels: Vec<f32> = (0..IMAGES * 3072).map(|i| ((i * 7919) % 1009) as f32 / 1008.0).collect();
    let classes: Vec<u32> = (0..IMAGES as u32).map(|i| i * 7 % 10).collect();
    Ok(TrainBatch {
        pixels: Tensor::from_vec(pixels, (IMAGES, 3, 32, 32), device)?,
        labels: Tensor::new(&classes[..], device)?,
        indices: (0..IMAGES as u32).collect(),
        classes,
        epoch: 1,
    })
}

/// Length of the difference over the length of `expected`.
fn error(got: &Tensor, expected: &Tensor) -> candle_core::Result<f64> {
    let on_cpu = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let (got, expected) = (on_cpu(got)?, on_cpu(expected)?);
    let length = |t: Tensor| t.sqr()?.sum_all()?.to_scalar::<f64>().map(f64::sqrt);
    Ok(length((got - &expected)?)? / length(expected)?)
}

/// The losses of three updates, and the student after them.
fn trained(arch: &str, device: &Device) -> anyhow::Result<(Vec<f64>, Student)> {
    let optimizer =
        OptimizerSpec { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, schedule: Schedule::Constant };
    let mut student = Student::new(network(arch, device)?, Timetable::new(&optimizer, 1, 100))?;
    let batch = batch(device)?;
    let losses = (0..3).map(|_| Ok(Natural.step(&mut student, &batch)?.loss_sum)).collect::<anyhow::Result<_>>()?;
    Ok((losses, student))
}

fn training_steps(device: &Device) -> Outcome {
    for arch in ARCHITECTURES {
        let (losses, student) = trained(arch, device).map_err(|error| error.to_string())?;
        let (expected, reference) = trained(arch, &Device::Cpu).map_err(|error| error.to_string())?;
        println!("    {arch}: losses {losses:?}, on the CPU {expected:?}");
        for (loss, expected) in losses.iter().zip(&expected) {
            // Three updates on, roundings that flip a ReLU have grown to this.
            if (loss - expected).abs() > 2e-3 * expected.abs() {
                return Err(format!("{arch}: losses {losses:?} instead of {expected:?}").into());
            }
        }
        let mut worst = (0.0, String::new());
        for ((name, got), (_, expected)) in student.network().parameters().iter().zip(reference.network().parameters())
        {
            let error = error(got, expected)?;
            if error.is_nan() || error > worst.0 {
                worst = (error, name.clone());
            }
        }
        println!("    {arch}: weights are off by {:.1e} at most, in {}", worst.0, worst.1);
        if worst.0.is_nan() || worst.0 > 1e-2 {
            return Err(format!("{arch}: {} is off by {:.1e}", worst.1, worst.0).into());
        }
    }
    Ok(())
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
    for arch in ARCHITECTURES {
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
