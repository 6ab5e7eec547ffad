//! Every operation, forwards and backwards, against the CPU.

use candle_core::{DType, Device, Result, Tensor};
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, avg_pool2d, batch_norm_eval, batch_norm_train, conv2d,
    conv2d_finished, conv2d_frozen_norm, dropout, linear, max_pool2d, normalize, relu,
};

use crate::compared::{EXACT, Findings, Role, SMOOTH, Tolerance, WITH_RELU};
use crate::support::tensor;
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![
        ("convolutions_agree_with_the_cpu", convolutions),
        ("batch_norms_in_training_agree_with_the_cpu", batch_norms_in_training),
        ("batch_norms_of_given_statistics_agree_with_the_cpu", batch_norms_of_given_statistics),
        ("convolutions_with_a_folded_norm_agree_with_the_cpu", folded_norms),
        ("linear_layers_agree_with_the_cpu", linear_layers),
        ("pooling_agrees_with_the_cpu", pooling),
        ("dropout_agrees_with_the_cpu", dropouts),
        ("relu_and_normalisation_agree_with_the_cpu", maps),
    ]
}

fn activation(seed: u64, dims: &[usize]) -> (Tensor, Role) {
    (tensor(seed, dims), Role::Activation)
}

fn parameter(seed: u64, dims: &[usize]) -> (Tensor, Role) {
    (tensor(seed, dims), Role::Parameter)
}

/// Variances, away from 0.
fn variance(seed: u64, channels: usize) -> Tensor {
    (tensor(seed, &[channels]).abs().unwrap() + 0.25).unwrap()
}

/// The inputs of an operation that ends with "+ residual" and an activation, of which the last is the residual, moved so that no
/// number that the activation sees is near 0: there rounding decides whether a ReLU lets a gradient pass, in any type.
fn clear_of_zero(
    inputs: &[(Tensor, Role)],
    operation: &dyn Fn(&[Tensor], Activation) -> Result<Vec<Tensor>>,
) -> Result<Vec<(Tensor, Role)>> {
    let tensors: Vec<Tensor> = inputs.iter().map(|(tensor, _)| tensor.clone()).collect();
    let seen = operation(&tensors, Activation::Identity)?.remove(0);
    // A quarter away from 0, on the side where they are.
    let away = seen.ge(0.0)?.to_dtype(DType::F64)?.affine(0.5, -0.25)?;
    let mut inputs = inputs.to_vec();
    let (residual, _) = inputs.last_mut().expect("the operation has a residual");
    // A number of bf16, as every input.
    *residual = (&*residual + away)?.to_dtype(DType::BF16)?.to_dtype(DType::F64)?;
    Ok(inputs)
}

/// Images, channels in and out, height, width, kernel, stride, padding: what the networks have, and odd sizes.
const CONVOLUTIONS: [[usize; 8]; 12] = [
    [16, 3, 64, 32, 32, 3, 1, 1],
    [16, 64, 64, 32, 32, 3, 1, 1],
    [16, 64, 128, 32, 32, 3, 2, 1],
    [16, 64, 128, 32, 32, 1, 2, 0],
    [16, 256, 512, 8, 8, 3, 2, 1],
    [16, 512, 512, 4, 4, 3, 1, 1],
    [16, 512, 512, 2, 2, 3, 1, 1],
    [16, 256, 64, 8, 8, 1, 1, 0],
    [2, 3, 64, 64, 64, 7, 2, 3],
    [2, 3, 64, 67, 67, 11, 4, 2],
    [3, 5, 7, 9, 13, 3, 1, 1],
    [1, 1, 1, 1, 1, 1, 1, 0],
];

fn convolutions(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for [n, c, o, h, w, k, stride, padding] in CONVOLUTIONS {
        let config = Conv2dConfig { stride, padding };
        let inputs = [activation(1, &[n, c, h, w]), parameter(2, &[o, c, k, k]), parameter(3, &[o])];
        let name = format!("conv2d {n}x{c}x{h}x{w} to {o}, {k}x{k}/{stride}");
        let with_bias = |t: &[Tensor]| Ok(vec![conv2d(&t[0], &t[1], Some(&t[2]), config)?]);
        findings.compare(&name, &with_bias, &inputs, device, SMOOTH)?;
        let without = |t: &[Tensor]| Ok(vec![conv2d(&t[0], &t[1], None, config)?]);
        findings.compare(&name, &without, &inputs[..2], device, SMOOTH)?;
        let out = [n, o, (h + 2 * padding - k) / stride + 1, (w + 2 * padding - k) / stride + 1];
        let operands = [inputs[0].clone(), inputs[1].clone(), activation(4, &out)];
        let with_residual = |t: &[Tensor]| {
            let epilogue = Epilogue { residual: Some(&t[2]), activation: Activation::Identity };
            Ok(vec![conv2d_finished(&t[0], &t[1], None, config, epilogue)?])
        };
        findings.compare(&format!("{name} and a residual"), &with_residual, &operands, device, SMOOTH)?;
    }
    findings.outcome()
}

/// Shapes whose planes a pack of four divides, and does not; and rows.
const NORMS: [&[usize]; 6] =
    [&[16, 64, 32, 32], &[16, 512, 4, 4], &[16, 96, 2, 2], &[3, 5, 7, 9], &[5, 3, 65, 67], &[40, 30]];

fn batch_norms_in_training(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for dims in NORMS {
        let vector = [dims[1]];
        let inputs = [activation(1, dims), parameter(2, &vector), parameter(3, &vector), activation(4, dims)];
        let plain = |t: &[Tensor]| {
            let (y, batch) = batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Epilogue::NONE)?;
            Ok(vec![y, batch.mean, batch.unbiased_variance])
        };
        findings.compare(&format!("batch norm of {dims:?}"), &plain, &inputs[..3], device, SMOOTH)?;
        for activation in [Activation::Identity, Activation::Relu] {
            let whole = |t: &[Tensor], activation: Activation| {
                let epilogue = Epilogue { residual: Some(&t[3]), activation };
                Ok(vec![batch_norm_train(&t[0], &t[1], &t[2], 1e-5, epilogue)?.0])
            };
            let inputs = clear_of_zero(&inputs, &whole)?;
            let name = format!("batch norm of {dims:?} with residual, {activation:?}");
            findings.compare(&name, &|t| whole(t, activation), &inputs, device, WITH_RELU)?;
        }
    }
    findings.outcome()
}

fn batch_norms_of_given_statistics(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for dims in NORMS {
        let vector = [dims[1]];
        let (mean, variance) = (tensor(5, &vector), variance(6, dims[1]));
        let inputs = [activation(1, dims), parameter(2, &vector), parameter(3, &vector), activation(4, dims)];
        let whole = |t: &[Tensor], activation: Activation| {
            let on = |statistic: &Tensor| statistic.to_dtype(t[1].dtype())?.to_device(t[1].device());
            let epilogue = Epilogue { residual: Some(&t[3]), activation };
            Ok(vec![batch_norm_eval(&t[0], &t[1], &t[2], &on(&mean)?, &on(&variance)?, 1e-5, epilogue)?])
        };
        let inputs = clear_of_zero(&inputs, &whole)?;
        let name = format!("given statistics of {dims:?}");
        findings.compare(&name, &|t| whole(t, Activation::Relu), &inputs, device, WITH_RELU)?;
    }
    findings.outcome()
}

fn folded_norms(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for [n, c, o, h, w, k, stride, padding] in CONVOLUTIONS {
        let config = Conv2dConfig { stride, padding };
        let constants = [
            tensor(2, &[o, c, k, k]),
            tensor(3, &[o]),
            tensor(4, &[o]),
            tensor(5, &[o]),
            tensor(6, &[o]),
            variance(7, o),
        ];
        let out = [n, o, (h + 2 * padding - k) / stride + 1, (w + 2 * padding - k) / stride + 1];
        let inputs = [activation(1, &[n, c, h, w]), activation(8, &out)];
        let frozen = |t: &[Tensor], activation: Activation| {
            let dtype = if t[0].dtype() == DType::BF16 { DType::F32 } else { t[0].dtype() };
            let on = |constant: &Tensor| constant.to_dtype(dtype)?.to_device(t[0].device());
            let [weight, bias, gamma, beta, mean, variance] = constants.each_ref().map(on);
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            let norm =
                FrozenNorm { gamma: &gamma, beta: &beta, running_mean: &mean, running_var: &variance, epsilon: 1e-5 };
            let epilogue = Epilogue { residual: Some(&t[1]), activation };
            Ok(vec![conv2d_frozen_norm(&t[0], &weight?, Some(&bias?), config, norm, epilogue)?])
        };
        let inputs = clear_of_zero(&inputs, &frozen)?;
        let name = format!("folded {n}x{c}x{h}x{w} to {o}, {k}x{k}/{stride}");
        findings.compare(&name, &|t| frozen(t, Activation::Relu), &inputs, device, WITH_RELU)?;
    }
    findings.outcome()
}

fn linear_layers(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for (rows, inputs, outputs) in [(128, 512, 10), (128, 2048, 512), (3, 7, 5), (1, 1, 1)] {
        let operands = [activation(1, &[rows, inputs]), parameter(2, &[outputs, inputs]), parameter(3, &[outputs])];
        let layer = |t: &[Tensor]| Ok(vec![linear(&t[0], &t[1], Some(&t[2]))?]);
        findings.compare(&format!("linear {rows}x{inputs} to {outputs}"), &layer, &operands, device, SMOOTH)?;
    }
    findings.outcome()
}

fn pooling(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    // Random numbers of bf16 hold ties.
    let x = [activation(1, &[4, 6, 17, 14])];
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (1, 1, 0), (2, 3, 1), (4, 4, 0)] {
        let config = PoolConfig { kernel, stride, padding };
        let maximum = |t: &[Tensor]| Ok(vec![max_pool2d(&t[0], config)?]);
        // What a pixel gets from several windows is a sum.
        let tolerance = if kernel > stride { SMOOTH } else { EXACT };
        findings.compare(&format!("max pool {config:?}"), &maximum, &x, device, tolerance)?;
        let mean = |t: &[Tensor]| Ok(vec![avg_pool2d(&t[0], config)?]);
        findings.compare(&format!("average pool {config:?}"), &mean, &x, device, SMOOTH)?;
    }
    findings.outcome()
}

fn dropouts(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for dims in [&[128, 2048][..], &[3, 5, 7], &[1]] {
        let x = [activation(1, dims)];
        // Doubling is exact.
        let half = |t: &[Tensor]| Ok(vec![dropout(&t[0], 0.5, 7)?]);
        findings.compare(&format!("dropout of half of {dims:?}"), &half, &x, device, EXACT)?;
        let less = |t: &[Tensor]| Ok(vec![dropout(&t[0], 0.3, u64::MAX)?]);
        findings.compare(&format!("dropout of less of {dims:?}"), &less, &x, device, SMOOTH)?;
    }
    findings.outcome()
}

fn maps(device: &Device) -> Outcome {
    let mut findings = Findings::default();
    for dims in [&[8, 3, 32, 32][..], &[2, 3, 5, 7], &[1, 1, 1, 1]] {
        let x = [activation(1, dims)];
        findings.compare(&format!("relu of {dims:?}"), &|t| Ok(vec![relu(&t[0])?]), &x, device, EXACT)?;
        let constants: ([f64; 3], [f64; 3]) = ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]);
        let (mean, std) = (&constants.0[..dims[1]], &constants.1[..dims[1]]);
        let tolerance = Tolerance { f32: 1e-6, ..SMOOTH };
        findings.compare(
            &format!("normalize {dims:?}"),
            &|t| Ok(vec![normalize(&t[0], mean, std)?]),
            &x,
            device,
            tolerance,
        )?;
    }
    findings.outcome()
}
