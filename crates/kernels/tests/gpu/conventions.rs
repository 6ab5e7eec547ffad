//! PyTorch's conventions, on the device.

use candle_core::{DType, Device, Result, Tensor, Var};
use rrm_kernels::{
    Activation, Epilogue, PoolConfig, SgdConfig, batch_norm_train, dropout, first_not_finite, max_pool2d, normalize,
    relu, sgd_step, update_running, watched,
};

use crate::compared::error;
use crate::support::{flat, tensor};
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![
        ("relu_has_derivative_zero_at_zero_and_keeps_a_nan", relu_at_the_edge),
        ("max_pool_sends_the_whole_gradient_to_the_first_maximum", first_maximum),
        ("the_pixel_clamp_passes_the_gradient_on_the_closed_interval", closed_interval),
        ("a_large_mean_does_not_spoil_the_variance", large_mean),
        ("sgd_and_running_statistics_move_as_on_the_cpu", updates),
        ("detached_tensors_see_the_new_weights", shared_storage),
        ("dropout_has_the_bits_of_the_cpu", dropped),
        ("a_number_that_is_not_finite_is_found_in_every_type", not_finite),
    ]
}

/// Result, and gradient of its sum.
fn with_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<(Vec<f64>, Vec<f64>)> {
    let x = Var::from_tensor(x)?;
    let y = f(x.as_tensor())?;
    let gradients = y.sum_all()?.backward()?;
    let gradient = gradients.get(x.as_tensor()).ok_or_else(|| candle_core::Error::msg("no gradient"))?;
    Ok((flat(&y)?, flat(gradient)?))
}

fn expect(what: &str, got: &[f64], expected: &[f64]) -> Outcome {
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    if got.len() == expected.len() && got.iter().zip(expected).all(same) {
        return Ok(());
    }
    Err(format!("{what}: {got:?} instead of {expected:?}").into())
}

fn image(rows: &[&[f32]], device: &Device) -> Result<Tensor> {
    Tensor::from_vec(rows.concat(), (1, 1, rows.len(), rows[0].len()), device)
}

fn relu_at_the_edge(device: &Device) -> Outcome {
    let x = Tensor::new(&[-1f32, -0.0, 0.0, 1e-30, 2.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY], device)?;
    let (y, gradient) = with_gradient(&x, relu)?;
    expect("relu", &y, &[0.0, 0.0, 0.0, f64::from(1e-30f32), 2.0, f64::NAN, 0.0, f64::INFINITY])?;
    expect("gradient", &gradient, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0])
}

fn first_maximum(device: &Device) -> Outcome {
    let pool = |x: &Tensor| max_pool2d(x, PoolConfig { kernel: 2, stride: 2, padding: 0 });
    let of = |rows: &[&[f32]]| with_gradient(&image(rows, device)?, pool);
    expect("distinct", &of(&[&[1., 2.], &[3., 4.]])?.1, &[0., 0., 0., 1.])?;
    expect("equal", &of(&[&[5., 5.], &[5., 5.]])?.1, &[1., 0., 0., 0.])?;
    expect("two", &of(&[&[1., 7.], &[7., 0.]])?.1, &[0., 1., 0., 0.])?;
    let (y, gradient) = of(&[&[1., 7.], &[f32::NAN, f32::INFINITY]])?;
    expect("NaN wins", &y, &[f64::NAN])?;
    expect("NaN's gradient", &gradient, &[0., 0., 1., 0.])
}

fn closed_interval(device: &Device) -> Outcome {
    let x = image(&[&[-0.5, 0., 0.25, 1., 1.5]], device)?;
    let (y, gradient) = with_gradient(&x, |x| normalize(x, &[0.5], &[0.25]))?;
    expect("normalize", &y, &[-2., -2., -1., 2., 2.])?;
    expect("gradient", &gradient, &[0., 4., 4., 4., 0.])
}

fn large_mean(device: &Device) -> Outcome {
    let numbers: Vec<f32> = (0..4096u16).map(|i| 1000.0 + f32::from(i % 2)).collect();
    let x = Tensor::from_vec(numbers, (4, 1, 32, 32), device)?;
    let one = Tensor::ones(1, DType::F32, device)?;
    let (_, batch) = batch_norm_train(&x, &one, &one, 1e-5, Epilogue::NONE)?;
    let (got, expected) = (flat(&batch.unbiased_variance)?[0], 0.25 * 4096. / 4095.);
    if (got - expected).abs() > 1e-6 { Err(format!("{got} instead of {expected}").into()) } else { Ok(()) }
}

/// Two steps on the CPU and on the device.
fn updates(device: &Device) -> Outcome {
    let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01 };
    let run = |device: &Device| -> Result<[Vec<f64>; 3]> {
        let on = |seed| tensor(seed, &[7, 1003]).to_dtype(DType::F32)?.to_device(device);
        let (weight, buffer, running) = (Var::from_tensor(&on(1)?)?, Var::from_tensor(&on(2)?)?, on(3)?);
        for seed in [4, 5] {
            sgd_step(&weight, &on(seed)?, &buffer, config)?;
            update_running(&running, &on(seed)?, 0.1)?;
        }
        Ok([flat(&weight)?, flat(&buffer)?, flat(&running)?])
    };
    for ((got, expected), what) in run(device)?.iter().zip(&run(&Device::Cpu)?).zip(["weight", "buffer", "running"]) {
        let error = error(got, expected);
        if error.is_nan() || error > 1e-6 {
            return Err(format!("{what} is off by {error:.1e}").into());
        }
    }
    Ok(())
}

fn shared_storage(device: &Device) -> Outcome {
    let weight = Var::new(&[1f32], device)?;
    let (detached, buffer) = (weight.as_detached_tensor(), Var::new(&[0f32], device)?);
    let config = SgdConfig { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
    sgd_step(&weight, &Tensor::new(&[1f32], device)?, &buffer, config)?;
    expect("the detached weight", &flat(&detached)?, &[0.5])?;
    let x = image(&[&[1., -1.]], device)?;
    let (gamma, beta) = (Tensor::ones(1, DType::F32, device)?, Tensor::zeros(1, DType::F32, device)?);
    let residual = Var::from_tensor(&image(&[&[-3., 4.]], device)?)?;
    let epilogue = Epilogue { residual: Some(residual.as_tensor()), activation: Activation::Relu };
    let (y, _) = batch_norm_train(&x, &gamma, &beta, 0., epilogue)?;
    let gradients = y.sum_all()?.backward()?;
    let gradient = gradients.get(residual.as_tensor()).ok_or("no gradient")?;
    expect("the residual's gradient", &flat(gradient)?, &[0., 1.])
}

fn dropped(device: &Device) -> Outcome {
    let x = tensor(1, &[3, 40_001]).to_dtype(DType::F32)?;
    let x = Tensor::cat(&[x, Tensor::full(f32::INFINITY, (3, 10), &Device::Cpu)?], 1)?;
    for key in [0, 1 << 40, u64::MAX] {
        let on = |device: &Device| with_gradient(&x.to_device(device)?, |x| dropout(x, 0.3, key));
        let ((y, gradient), (expected, reference)) = (on(device)?, on(&Device::Cpu)?);
        if y != expected || gradient != reference {
            return Err(format!("the mask of key {key} is another").into());
        }
    }
    Ok(())
}

fn not_finite(device: &Device) -> Outcome {
    for dtype in [DType::BF16, DType::F32, DType::F64] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (len, place) in [(1, 0), (1000, 999), (5_000_000, 4_300_000)] {
                let mut numbers = vec![f32::MAX / 2.0; len];
                let of = |numbers: &[f32]| Tensor::new(numbers, device)?.to_dtype(dtype);
                let clean = of(&numbers)?;
                numbers[place] = bad;
                let spoilt = of(&numbers)?;
                let found = (first_not_finite([&clean])?, first_not_finite([&clean, &spoilt, &clean, &spoilt])?);
                if found != (None, Some(1)) {
                    return Err(format!("{bad} at {place} of {len} in {dtype:?}: {found:?}").into());
                }
            }
        }
    }
    let x = Tensor::new(&[1.0, f32::NAN], device)?;
    let (y, culprit) = watched(|| relu(&x));
    y?;
    if culprit.as_ref().map(|culprit| culprit.operation) != Some("relu") {
        return Err(format!("the culprit is {culprit:?}").into());
    }
    Ok(())
}
