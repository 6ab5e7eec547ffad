//! What the crate promises beside right numbers: no work that nobody asked for, the same bits, TF32 only on request.

use candle_core::{DType, Device, Result, Tensor, Var};
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, allow_tf32, avg_pool2d, batch_norm_train, conv2d,
    conv2d_frozen_norm, linear, max_pool2d, relu, weight_gradient_passes,
};

use crate::compared::error;
use crate::support::{bits, flat, tensor};
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![
        ("a_frozen_network_computes_no_weight_gradient", frozen),
        ("a_training_step_gives_no_gradient_that_is_not_asked_for", training),
        ("the_same_step_gives_the_same_bits", same_bits),
        ("f32_products_are_f32_until_tf32_is_asked_for", tf32),
        ("gradients_of_shared_results_add_up", shared_results),
        ("memory_that_is_not_there_is_an_error", no_memory),
    ]
}

const SAME: Conv2dConfig = Conv2dConfig { stride: 1, padding: 1 };

fn on(device: &Device, seed: u64, dims: &[usize]) -> Result<Tensor> {
    tensor(seed, dims).to_dtype(DType::F32)?.to_device(device)
}

/// Every parameter is a variable if `trainable`, else a constant.
struct Network {
    convolutions: Vec<Tensor>,
    norm: [Tensor; 2],
    statistics: [Tensor; 2],
    head: [Tensor; 2],
}

impl Network {
    fn new(device: &Device, track: impl Fn(Tensor) -> Result<Tensor>) -> Result<Self> {
        let parameter = |seed, dims: &[usize]| track((on(device, seed, dims)? * 0.2)?);
        Ok(Self {
            convolutions: vec![parameter(1, &[16, 3, 3, 3])?, parameter(2, &[16, 16, 3, 3])?],
            norm: [parameter(3, &[16])?, parameter(4, &[16])?],
            statistics: [on(device, 5, &[16])?, (on(device, 6, &[16])?.abs()? + 0.5)?],
            head: [parameter(7, &[10, 16])?, parameter(8, &[10])?],
        })
    }

    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.convolutions.iter().chain(&self.norm).chain(&self.head)
    }

    fn train(&self, x: &Tensor) -> Result<Tensor> {
        let [gamma, beta] = &self.norm;
        let (x, _) =
            batch_norm_train(&conv2d(x, &self.convolutions[0], None, SAME)?, gamma, beta, 1e-5, Epilogue::RELU)?;
        let epilogue = Epilogue { residual: Some(&x), activation: Activation::Relu };
        let (y, _) = batch_norm_train(&conv2d(&x, &self.convolutions[1], None, SAME)?, gamma, beta, 1e-5, epilogue)?;
        self.end(&y)
    }

    fn eval(&self, x: &Tensor) -> Result<Tensor> {
        let ([gamma, beta], [running_mean, running_var]) = (&self.norm, &self.statistics);
        let norm = FrozenNorm { gamma, beta, running_mean, running_var, epsilon: 1e-5 };
        let x = conv2d_frozen_norm(x, &self.convolutions[0], None, SAME, norm, Epilogue::RELU)?;
        let epilogue = Epilogue { residual: Some(&x), activation: Activation::Relu };
        self.end(&conv2d_frozen_norm(&x, &self.convolutions[1], None, SAME, norm, epilogue)?)
    }

    fn end(&self, y: &Tensor) -> Result<Tensor> {
        let y = max_pool2d(y, PoolConfig { kernel: 2, stride: 2, padding: 0 })?;
        let y = avg_pool2d(&y, PoolConfig { kernel: 8, stride: 8, padding: 0 })?.flatten_from(1)?;
        linear(&y, &self.head[0], Some(&self.head[1]))?.sqr()?.sum_all()
    }
}

fn variable(t: Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(&t)?.into_inner())
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what().into()) }
}

fn frozen(device: &Device) -> Outcome {
    let network = Network::new(device, Ok)?;
    let x = Var::from_tensor(&on(device, 9, &[4, 3, 16, 16])?)?;
    for forward in [Network::eval, Network::train] {
        let before = weight_gradient_passes();
        let gradients = forward(&network, x.as_tensor())?.backward()?;
        ensure(gradients.get(x.as_tensor()).is_some(), || "the pixels have no gradient".to_owned())?;
        ensure(weight_gradient_passes() == before, || "a weight gradient was computed".to_owned())?;
    }
    Ok(())
}

fn training(device: &Device) -> Outcome {
    let network = Network::new(device, variable)?;
    let x = on(device, 9, &[4, 3, 16, 16])?;
    for forward in [Network::train, Network::eval] {
        let before = weight_gradient_passes();
        let gradients = forward(&network, &x)?.backward()?;
        ensure(weight_gradient_passes() == before + 3, || "not three weight gradients".to_owned())?;
        ensure(gradients.get(&x).is_none(), || "the pixels have a gradient".to_owned())?;
        for parameter in network.parameters() {
            let dims = gradients.get(parameter).map(Tensor::dims);
            ensure(dims == Some(parameter.dims()), || format!("{dims:?} for {:?}", parameter.shape()))?;
        }
    }
    Ok(())
}

/// Loss and all gradients of a step, in bits.
fn step(device: &Device, width: usize, dtype: DType) -> Result<Vec<u64>> {
    let x = Var::from_tensor(&on(device, 1, &[64, width, 16, 16])?.to_dtype(dtype)?)?;
    let weight = Var::from_tensor(&on(device, 2, &[width, width, 3, 3])?)?;
    let [gamma, beta] = [3, 4].map(|seed| on(device, seed, &[width]).and_then(|t| Var::from_tensor(&t)));
    let (gamma, beta) = (gamma?, beta?);
    let y = conv2d(x.as_tensor(), weight.as_tensor(), None, SAME)?;
    let epilogue = Epilogue { residual: Some(x.as_tensor()), activation: Activation::Relu };
    let (y, batch) = batch_norm_train(&y, gamma.as_tensor(), beta.as_tensor(), 1e-5, epilogue)?;
    let loss = y.to_dtype(DType::F32)?.sqr()?.sum_all()?;
    let gradients = loss.backward()?;
    let mut all = [bits(&y)?, bits(&batch.mean)?, bits(&batch.unbiased_variance)?].concat();
    for var in [&x, &weight, &gamma, &beta] {
        all.extend(bits(gradients.get(var).expect("every variable has a gradient"))?);
    }
    Ok(all)
}

fn same_bits(device: &Device) -> Outcome {
    for width in [16, 64, 256] {
        for dtype in [DType::F32, DType::BF16] {
            let first = step(device, width, dtype)?;
            for _ in 0..3 {
                ensure(step(device, width, dtype)? == first, || format!("width {width} in {dtype:?} differs"))?;
            }
        }
    }
    Ok(())
}

fn tf32(device: &Device) -> Outcome {
    // Factors that neither TF32 nor bf16 holds.
    let exact = |seed, dims: &[usize]| (tensor(seed, dims) * (1.0 / 3.0))?.to_dtype(DType::F32);
    let (x, weight) = (exact(1, &[8, 64, 16, 16])?, exact(2, &[64, 64, 3, 3])?);
    let (rows, matrix) = (exact(3, &[256, 512])?, exact(4, &[256, 512])?);
    let run = |device: &Device, dtype: DType| -> Result<[Vec<f64>; 2]> {
        let on = |t: &Tensor| t.to_dtype(dtype)?.to_device(device);
        let convolved = conv2d(&on(&x)?, &on(&weight)?, None, SAME)?;
        Ok([flat(&convolved)?, flat(&linear(&on(&rows)?, &on(&matrix)?, None)?)?])
    };
    let expected = run(&Device::Cpu, DType::F64)?;
    let errors = |got: [Vec<f64>; 2]| [0, 1].map(|i| error(&got[i], &expected[i]));
    let fine = errors(run(device, DType::F32)?);
    allow_tf32(true);
    let coarse = run(device, DType::F32);
    allow_tf32(false);
    let coarse = errors(coarse?);
    println!("    convolution, linear: off by {fine:?} in f32, {coarse:?} in TF32");
    ensure(fine.iter().all(|&error| error < 2e-5), || format!("f32 is off by {fine:?}"))?;
    ensure(coarse.iter().all(|&error| error > 1e-4), || format!("TF32 is off by only {coarse:?}: not in use"))
}

fn shared_results(device: &Device) -> Outcome {
    let x = Var::from_tensor(&on(device, 1, &[1, 1, 4, 4])?)?;
    let twice = |x: &Tensor| {
        let weight = Tensor::full(2f32, (1, 1, 1, 1), device)?;
        conv2d(x, &weight, None, Conv2dConfig { stride: 1, padding: 0 })
    };
    let y = twice(x.as_tensor())?;
    let reshaped = twice(&y.reshape((1, 1, 2, 8))?)?.reshape((1, 1, 4, 4))?;
    let all = (((twice(&y)? + reshaped)? + relu(&y)?)? + y.affine(3.0, 0.0)?)?;
    let positive = flat(x.as_tensor())?.into_iter().map(|x| f64::from(u8::from(x > 0.0)));
    let expected: Vec<f64> = positive.map(|positive| 2.0 * (2.0 + 2.0 + 3.0 + positive)).collect();
    for walk in 0..2 {
        let gradients = all.sum_all()?.backward()?;
        let got = flat(gradients.get(x.as_tensor()).ok_or("no gradient")?)?;
        ensure(got == expected, || format!("walk {walk}: {got:?} instead of {expected:?}"))?;
    }
    Ok(())
}

fn no_memory(device: &Device) -> Outcome {
    let x = Tensor::zeros((1, 1, 1 << 10, 1 << 10), DType::F32, device)?;
    // A result of a million channels, 4 TiB.
    let weight = Tensor::zeros((1 << 20, 1, 1, 1), DType::F32, device)?;
    match conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 0 }) {
        Ok(y) => Err(format!("a result of {:?} was made", y.shape()).into()),
        // The device is none the worse for it.
        Err(_) => Ok(relu(&x)?.sum_all()?.to_scalar::<f32>().map(drop)?),
    }
}
