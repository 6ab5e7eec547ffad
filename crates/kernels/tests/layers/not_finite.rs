//! Numbers that are not finite show in the results that depend on them, and in no others.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, avg_pool2d, batch_norm_eval, batch_norm_train, conv2d,
    conv2d_frozen_norm, linear, max_pool2d, normalize, relu, with_direct_convolutions,
};

use crate::support::{bits, flat, tensor};

const F32: DType = DType::F32;
const SAME: Conv2dConfig = Conv2dConfig { stride: 1, padding: 1 };

/// Both algorithms, where the convolution's shape leaves the choice.
fn with_every_algorithm(check: impl Fn(&str)) {
    check("fastest");
    with_direct_convolutions(|| check("direct"));
}

/// `t` with number `place` replaced by NaN.
fn spoilt(t: &Tensor, place: usize) -> Tensor {
    let mut numbers = flat(t);
    numbers[place] = f64::NAN;
    Tensor::from_vec(numbers, t.dims(), t.device()).unwrap().to_dtype(t.dtype()).unwrap()
}

fn norm_of(channels: usize) -> [Tensor; 4] {
    let variance = (tensor(13, &[channels], F32).abs().unwrap() + 0.1).unwrap();
    [tensor(10, &[channels], F32), tensor(11, &[channels], F32), tensor(12, &[channels], F32), variance]
}

fn frozen_conv(x: &Tensor, weight: &Tensor, config: Conv2dConfig, residual: Option<&Tensor>) -> Result<Tensor> {
    let [gamma, beta, running_mean, running_var] = &norm_of(weight.dim(0)?);
    let norm = FrozenNorm { gamma, beta, running_mean, running_var, epsilon: 1e-5 };
    conv2d_frozen_norm(x, weight, None, config, norm, Epilogue { residual, activation: Activation::Relu })
}

/// Places of the numbers that are NaN.
fn nans(t: &Tensor) -> Vec<usize> {
    flat(t).iter().enumerate().filter(|(_, number)| number.is_nan()).map(|(place, _)| place).collect()
}

#[test]
fn a_nan_in_the_residual_passes_every_fused_relu() {
    let residual = spoilt(&tensor(1, &[2, 16, 8, 8], F32), 1000);
    let epilogue = Epilogue { residual: Some(&residual), activation: Activation::Relu };
    let x = tensor(2, &[2, 16, 8, 8], F32);
    let [gamma, beta, mean, variance] = &norm_of(16);
    let (trained, _) = batch_norm_train(&x, gamma, beta, 1e-5, epilogue).unwrap();
    assert_eq!(nans(&trained), [1000]);
    assert_eq!(nans(&batch_norm_eval(&x, gamma, beta, mean, variance, 1e-5, epilogue).unwrap()), [1000]);
    with_every_algorithm(|algorithm| {
        let y = frozen_conv(&x, &tensor(3, &[16, 16, 3, 3], F32), SAME, Some(&residual)).unwrap();
        assert_eq!(nans(&y), [1000], "{algorithm}");
    });
}

#[test]
fn a_nan_in_a_weight_reaches_all_of_its_channel_and_no_other() {
    let (x, weight) = (tensor(1, &[3, 20, 9, 7], F32), tensor(2, &[18, 20, 3, 3], F32));
    let spoilt = spoilt(&weight, 5 * 20 * 9 + 4);
    with_every_algorithm(|algorithm| {
        let y = frozen_conv(&x, &spoilt, SAME, None).unwrap();
        let expected: Vec<usize> = (0..3).flat_map(|n| (n * 18 + 5) * 63..(n * 18 + 6) * 63).collect();
        assert_eq!(nans(&y), expected, "{algorithm}");
    });
}

#[test]
fn a_nan_among_a_channels_numbers_spoils_the_channels_batch_statistics_alone() {
    let x = spoilt(&tensor(1, &[4, 3, 5, 5], F32), 25 + 7);
    let [gamma, beta, ..] = &norm_of(3);
    let (y, statistics) = batch_norm_train(&x, gamma, beta, 1e-5, Epilogue::RELU).unwrap();
    let expected: Vec<usize> = (0..4).flat_map(|n| (n * 3 + 1) * 25..(n * 3 + 2) * 25).collect();
    assert_eq!(nans(&y), expected);
    assert_eq!(nans(&statistics.mean), [1]);
    assert_eq!(nans(&statistics.unbiased_variance), [1]);
}

#[test]
fn an_infinity_does_not_pass_for_a_finite_number() {
    let x = Tensor::from_vec(vec![f32::INFINITY, 1.0, -1.0, 0.5], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let weight = Tensor::ones((1, 1, 1, 1), F32, &Device::Cpu).unwrap();
    let y = conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 0 }).unwrap();
    assert_eq!(flat(&relu(&y).unwrap()), [f64::INFINITY, 1.0, 0.0, 0.5]);
    let one = Tensor::ones(1, F32, &Device::Cpu).unwrap();
    let (_, statistics) = batch_norm_train(&y, &one, &one, 1e-5, Epilogue::NONE).unwrap();
    assert!(!flat(&statistics.mean)[0].is_finite() && !flat(&statistics.unbiased_variance)[0].is_finite());
}

/// Layers of each kind on images, with the images' gradient.
fn run(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<[Tensor; 2]> {
    let x = Var::from_tensor(x)?;
    let pixels = normalize(x.as_tensor(), &vec![0.5; x.dim(1)?], &vec![0.2; x.dim(1)?])?;
    let y = frozen_conv(&pixels, weight, config, None)?;
    let y = relu(&y)?;
    let pool = PoolConfig { kernel: y.dims()[2].min(2), stride: 2, padding: 0 };
    let y = (max_pool2d(&y, pool)? + avg_pool2d(&y, pool)?)?.flatten_from(1)?;
    let y = linear(&y, &tensor(20, &[7, y.dims()[1]], F32), None)?;
    let gradient = y.sqr()?.sum_all()?.backward()?.remove(x.as_tensor()).expect("the images are tracked");
    Ok([y, gradient])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_nan_in_one_image_changes_no_bit_of_the_others_now_or_later(
        images in 2usize..20, c in 1usize..40, o in 1usize..40, size in 1usize..14, k in 1usize..4, stride in 1usize..3,
        pick in 0usize..40,
    ) {
        let (pick, config) = (pick % images, Conv2dConfig { stride, padding: k / 2 });
        let (x, weight) = (tensor(1, &[images, c, size, size], F32), tensor(2, &[o, c, k, k], F32));
        with_every_algorithm(|algorithm| {
            let clean = run(&x, &weight, config).unwrap();
            let spoilt = run(&spoilt(&x, pick * c * size * size), &weight, config).unwrap();
            for (clean, spoilt) in clean.iter().zip(&spoilt) {
                for image in (0..images).filter(|&image| image != pick) {
                    let of = |t: &Tensor| bits(&t.narrow(0, image, 1).unwrap());
                    assert_eq!(of(clean), of(spoilt), "{algorithm}: image {image}");
                }
            }
            assert!(!nans(&spoilt[0]).is_empty(), "{algorithm}");
            // What a computation leaves in working memory is not read by the next.
            let again = run(&x, &weight, config).unwrap();
            assert_eq!(clean.each_ref().map(bits), again.each_ref().map(bits), "{algorithm}");
        });
    }
}
