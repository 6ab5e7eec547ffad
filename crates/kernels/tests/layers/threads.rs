//! The same bits at any number of threads.

use candle_core::{DType, Result, Var};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, PoolConfig, Precision, SgdConfig, autocast, avg_pool2d, batch_norm_train,
    conv2d, linear, sgd_step,
};

use crate::support::{bits, tensor};

const F32: DType = DType::F32;

/// One training step of a small residual network; the bits of everything it yields.
fn step(images: usize, channels: usize, width: usize, size: usize) -> Result<Vec<Vec<u64>>> {
    let variable = |seed, dims: &[usize]| Var::from_tensor(&tensor(seed, dims, F32));
    let x = variable(1, &[images, channels, size, size])?;
    let parameters = [
        variable(2, &[width, channels, 3, 3])?,
        variable(3, &[width])?,
        variable(4, &[width])?,
        variable(5, &[2 * width, width, 3, 3])?,
        variable(6, &[2 * width, width, 1, 1])?,
        variable(7, &[2 * width])?,
        variable(8, &[2 * width])?,
        variable(9, &[10, 2 * width])?,
        variable(10, &[10])?,
    ];
    let [stem, gamma1, beta1, conv, shortcut, gamma2, beta2, head, bias] = &parameters;
    let y = conv2d(&x, stem, None, Conv2dConfig { stride: 1, padding: 1 })?;
    let (y, first) = batch_norm_train(&y, gamma1, beta1, 1e-5, Epilogue::RELU)?;
    let residual = conv2d(&y, shortcut, None, Conv2dConfig { stride: 2, padding: 0 })?;
    let y = conv2d(&y, conv, None, Conv2dConfig { stride: 2, padding: 1 })?;
    let epilogue = Epilogue { residual: Some(&residual), activation: Activation::Relu };
    let (y, second) = batch_norm_train(&y, gamma2, beta2, 1e-5, epilogue)?;
    let kernel = y.dims()[2];
    let y = avg_pool2d(&y, PoolConfig { kernel, stride: kernel, padding: 0 })?.flatten_from(1)?;
    let y = linear(&y, head, Some(bias))?;
    let gradients = y.sqr()?.sum_all()?.backward()?;
    let mut results = vec![bits(&y), bits(&first.unbiased_variance), bits(&second.mean)];
    results.push(bits(gradients.get(x.as_tensor()).expect("tracked")));
    for parameter in &parameters {
        let gradient = gradients.get(parameter).expect("tracked");
        let buffer = Var::from_tensor(&gradient.zeros_like()?)?;
        sgd_step(parameter, gradient, &buffer, SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 5e-4 })?;
        results.extend([bits(gradient), bits(parameter), bits(&buffer)]);
    }
    Ok(results)
}

fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start").install(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_training_step_has_the_same_bits_with_one_two_and_five_threads(
        images in 1usize..40, channels in 1usize..4, width in 1usize..36, size in 4usize..20,
        precision in prop_oneof![Just(Precision::F32), Just(Precision::Bf16)],
    ) {
        let run = || autocast(precision, || step(images, channels, width, size)).unwrap();
        let one = with_threads(1, run);
        prop_assert_eq!(&one, &with_threads(2, run));
        prop_assert_eq!(&one, &with_threads(5, run));
    }
}

#[test]
fn wide_layers_have_the_same_bits_with_one_and_three_threads() {
    // Wide enough for the schedules that share out channels instead of images.
    let run = |precision| {
        let x = Var::from_tensor(&tensor(1, &[9, 260, 4, 4], F32)).unwrap();
        let weight = Var::from_tensor(&tensor(2, &[270, 260, 3, 3], F32)).unwrap();
        let y = autocast(precision, || conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 1 })).unwrap();
        let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        [bits(&y), bits(gradients.get(x.as_tensor()).unwrap()), bits(gradients.get(weight.as_tensor()).unwrap())]
    };
    for precision in [Precision::F32, Precision::Bf16] {
        assert_eq!(with_threads(1, || run(precision)), with_threads(3, || run(precision)), "{precision:?}");
    }
}
