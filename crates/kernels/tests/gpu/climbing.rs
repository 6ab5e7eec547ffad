//! Steps of an attack on the device.

use candle_core::{DType, Device, Result, Tensor};
use rrm_kernels::cuda::{BallStep, Shrinkage, climb_in_ball, climb_in_box};

use crate::support::{bits, flat, tensor};
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![
        ("a_step_in_a_box_has_the_bits_of_the_definition", in_a_box),
        ("a_step_in_a_ball_agrees_with_the_definition_and_stays_inside", in_a_ball),
        ("a_gradient_that_is_no_number_leads_nowhere", no_number),
    ]
}

const IMAGES: usize = 5;
const SIZE: usize = 3 * 17 * 19;

/// Pixels in [0, 1].
fn pixels(seed: u64) -> Result<Tensor> {
    (tensor(seed, &[IMAGES, SIZE]) + 1.0)? * 0.5
}

fn in_a_box(device: &Device) -> Outcome {
    let (natural, z, gradient) = (pixels(1)?, pixels(2)?, tensor(3, &[IMAGES, SIZE]).relu()?);
    let all = [&z, &gradient, &(&natural - 0.03)?.clamp(0.0, 1.0)?, &(&natural + 0.03)?.clamp(0.0, 1.0)?];
    let singles = all.map(|t| t.to_dtype(DType::F32));
    let [z, gradient, lower, upper] = singles;
    let (z, gradient, lower, upper) = (z?, gradient?, lower?, upper?);
    let on = |t: &Tensor| t.to_device(device);
    let got = climb_in_box(&on(&z)?, &on(&gradient)?, [&on(&lower)?, &on(&upper)?], 0.01)?;
    let numbers = [&z, &gradient, &lower, &upper].map(|t| t.flatten_all()?.to_vec1::<f32>());
    let [z, gradient, lower, upper] = numbers;
    let (z, gradient, lower, upper) = (z?, gradient?, lower?, upper?);
    let moved = |i: usize| {
        let sign = if gradient[i] > 0.0 { 1.0 } else { 0.0 };
        (z[i] + 0.01f32 * sign).clamp(lower[i], upper[i])
    };
    let expected: Vec<f32> = (0..z.len()).map(moved).collect();
    let expected = Tensor::from_vec(expected, (IMAGES, SIZE), &Device::Cpu)?;
    if bits(&got)? == bits(&expected)? { Ok(()) } else { Err("other bits".into()) }
}

fn length(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|x| x * x).sum::<f64>().sqrt()
}

/// The definition, of one image in f64.
fn defined(z: &[f64], gradient: &[f64], natural: &[f64], step: BallStep) -> Vec<f64> {
    let scale = step.step_size / (length(gradient.iter().copied()) + step.gradient_guard);
    let moved = z.iter().zip(gradient).map(|(z, g)| z + g * scale);
    let moved: Vec<f64> = match step.shrinkage {
        Shrinkage::AfterTheBox => moved.map(|z| z.clamp(0.0, 1.0)).collect(),
        Shrinkage::WhereOutside | Shrinkage::Always => moved.collect(),
    };
    let length = length(moved.iter().zip(natural).map(|(z, x)| z - x));
    let shrinkage = match step.shrinkage {
        Shrinkage::WhereOutside if length <= step.epsilon => 1.0,
        Shrinkage::WhereOutside => step.epsilon / (length + 1e-7),
        Shrinkage::Always => length.min(step.epsilon) / (length + 1e-12),
        Shrinkage::AfterTheBox => (step.epsilon / (length + 1e-7)).min(1.0),
    };
    moved.iter().zip(natural).map(|(z, x)| (x + (z - x) * shrinkage).clamp(0.0, 1.0)).collect()
}

fn in_a_ball(device: &Device) -> Outcome {
    let (z, gradient, natural) = (pixels(2)?, tensor(3, &[IMAGES, SIZE]), pixels(1)?);
    // The second radius leaves everything inside.
    for epsilon in [0.5, 100.0] {
        for shrinkage in [Shrinkage::WhereOutside, Shrinkage::Always, Shrinkage::AfterTheBox] {
            let step = BallStep { step_size: 0.2, gradient_guard: 1e-10, epsilon, shrinkage };
            for (dtype, allowed) in [(DType::F64, 1e-12), (DType::F32, 2e-7)] {
                let on = |t: &Tensor| t.to_dtype(dtype)?.to_device(device);
                let got = flat(&climb_in_ball(&on(&z)?, &on(&gradient)?, &on(&natural)?, step)?)?;
                let (z, gradient, natural) = (flat(&z)?, flat(&gradient)?, flat(&natural)?);
                for image in 0..IMAGES {
                    let here = image * SIZE..(image + 1) * SIZE;
                    let (got, natural) = (&got[here.clone()], &natural[here.clone()]);
                    let expected = defined(&z[here.clone()], &gradient[here], natural, step);
                    let off = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    if off > allowed {
                        return Err(format!("{step:?} in {dtype:?}: off by {off:.1e}").into());
                    }
                    let distance = length(got.iter().zip(natural).map(|(z, x)| z - x));
                    if distance > epsilon {
                        return Err(format!("{step:?} in {dtype:?}: {distance} away").into());
                    }
                }
            }
        }
    }
    Ok(())
}

fn no_number(device: &Device) -> Outcome {
    let on = |t: Tensor| t.to_dtype(DType::F32)?.to_device(device);
    let natural = on(pixels(1)?)?;
    let nowhere = on((tensor(3, &[IMAGES, SIZE]) * f64::NAN)?)?;
    let step = BallStep { step_size: 0.2, gradient_guard: 1e-10, epsilon: 0.5, shrinkage: Shrinkage::WhereOutside };
    let ball = climb_in_ball(&natural, &nowhere, &natural, step)?;
    let cube = climb_in_box(&natural, &nowhere, [&natural, &natural], 0.1)?;
    for (what, moved) in [("ball", ball), ("box", cube)] {
        if bits(&moved)? != bits(&natural)? {
            return Err(format!("the image moved in the {what}").into());
        }
    }
    Ok(())
}
