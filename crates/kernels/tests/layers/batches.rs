//! An image's results do not depend on its batch.

use candle_core::{DType, Result, Tensor, Var};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, Precision, autocast, conv2d_frozen_norm, linear,
    max_pool2d,
};

use crate::support::{bits, tensor};

const F32: DType = DType::F32;

/// A layer of each kind, with input gradient.
fn run(x: &Tensor, weight: &Tensor, vectors: &[Tensor; 4], config: Conv2dConfig) -> Result<(Tensor, Tensor)> {
    let x = Var::from_tensor(x)?;
    let [gamma, beta, mean, variance] = vectors;
    let norm = FrozenNorm { gamma, beta, running_mean: mean, running_var: variance, epsilon: 1e-5 };
    let epilogue = Epilogue { residual: None, activation: Activation::Relu };
    let y = conv2d_frozen_norm(x.as_tensor(), weight, None, config, norm, epilogue)?;
    let y = match y.dims()[2] {
        1 => y,
        _ => max_pool2d(&y, PoolConfig { kernel: 2, stride: 2, padding: 0 })?,
    };
    let y = y.flatten_from(1)?;
    let y = linear(&y, &tensor(20, &[7, y.dims()[1]], F32), None)?;
    let gradient = y.sqr()?.sum_all()?.backward()?.remove(x.as_tensor()).expect("the images are tracked");
    Ok((y, gradient))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_image_has_the_same_bits_alone_and_in_any_batch(
        images in 2usize..40, c in 1usize..40, o in 1usize..40, size in 1usize..14, k in 1usize..4, stride in 1usize..3,
        pick in 0usize..40, precision in prop_oneof![Just(Precision::F32), Just(Precision::Bf16)],
    ) {
        let padding = k / 2;
        let pick = pick % images;
        let x = tensor(1, &[images, c, size, size], F32);
        let weight = tensor(2, &[o, c, k, k], F32);
        let variance = (tensor(6, &[o], F32).abs().unwrap() + 0.1).unwrap();
        let vectors = [tensor(3, &[o], F32), tensor(4, &[o], F32), tensor(5, &[o], F32), variance];
        let config = Conv2dConfig { stride, padding };
        let run = |x: &Tensor| autocast(precision, || run(x, &weight, &vectors, config)).unwrap();
        let (y, gradient) = run(&x);
        let (alone, alone_gradient) = run(&x.narrow(0, pick, 1).unwrap());
        prop_assert_eq!(bits(&y.narrow(0, pick, 1).unwrap()), bits(&alone));
        prop_assert_eq!(bits(&gradient.narrow(0, pick, 1).unwrap()), bits(&alone_gradient));
    }
}
