//! PyTorch's conventions on cases worked out by hand.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, PoolConfig, avg_pool2d, batch_norm_train, conv2d, conv2d_activated, max_pool2d,
    normalize, relu, relu_max_pool2d,
};

use crate::support::{bits, distance, flat, tensor};

fn image(rows: &[&[f64]]) -> Tensor {
    let numbers: Vec<f64> = rows.concat();
    Tensor::from_vec(numbers, (1, 1, rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

/// Gradient of the sum of `f(x)`.
fn gradient_of_sum(x: &Tensor, f: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Vec<f64> {
    let var = Var::from_tensor(x).unwrap();
    let gradients = f(var.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    flat(gradients.get(var.as_tensor()).unwrap())
}

#[test]
fn conv2d_is_a_cross_correlation_with_zero_padding() {
    let x = image(&[&[1., 2., 3.], &[4., 5., 6.], &[7., 8., 9.]]);
    let weight = image(&[&[1., 0., 0.], &[0., 0., 0.], &[0., 0., 2.]]);
    let bias = Tensor::new(&[10.0f64], &Device::Cpu).unwrap();
    let y = conv2d(&x, &weight, Some(&bias), Conv2dConfig { stride: 2, padding: 1 }).unwrap();
    assert_eq!(y.dims(), [1, 1, 2, 2]);
    assert_eq!(flat(&y), [20., 10., 10., 15.]);
}

#[test]
fn relu_has_derivative_zero_at_zero() {
    let x = image(&[&[-1., 0., -0.0, 2.]]);
    assert_eq!(flat(&relu(&x).unwrap()), [0., 0., 0., 2.]);
    assert_eq!(gradient_of_sum(&x, relu), [0., 0., 0., 1.]);
}

#[test]
fn a_nan_passes_through_relu_and_max_pool() {
    let x = image(&[&[f64::NAN, 1.], &[2., 3.]]);
    assert!(flat(&relu(&x).unwrap())[0].is_nan());
    let y = max_pool2d(&x, PoolConfig { kernel: 2, stride: 2, padding: 0 }).unwrap();
    assert!(flat(&y)[0].is_nan());
}

#[test]
fn max_pool_sends_the_whole_gradient_to_the_first_maximum() {
    let pool = |x: &Tensor| max_pool2d(x, PoolConfig { kernel: 2, stride: 2, padding: 0 });
    assert_eq!(gradient_of_sum(&image(&[&[1., 2.], &[3., 4.]]), pool), [0., 0., 0., 1.]);
    assert_eq!(gradient_of_sum(&image(&[&[5., 5.], &[5., 5.]]), pool), [1., 0., 0., 0.]);
    assert_eq!(gradient_of_sum(&image(&[&[1., 7.], &[7., 0.]]), pool), [0., 1., 0., 0.]);
}

#[test]
fn overlapping_windows_add_their_gradients() {
    let x = image(&[&[1., 2., 3.], &[4., 9., 5.], &[6., 7., 8.]]);
    let pool = |x: &Tensor| max_pool2d(x, PoolConfig { kernel: 2, stride: 1, padding: 0 });
    assert_eq!(gradient_of_sum(&x, pool), [0., 0., 0., 0., 4., 0., 0., 0., 0.]);
}

#[test]
fn padding_never_wins_a_max_pool_and_counts_in_an_average() {
    let x = image(&[&[-1., -2.], &[-3., -4.]]);
    let config = PoolConfig { kernel: 2, stride: 2, padding: 1 };
    assert_eq!(flat(&max_pool2d(&x, config).unwrap()), [-1., -2., -3., -4.]);
    assert_eq!(flat(&avg_pool2d(&x, config).unwrap()), [-0.25, -0.5, -0.75, -1.]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_of_a_relu_is_the_relu_and_then_the_pool(
        height in 2usize..40, width in 2usize..40, kernel in 2usize..4, stride in 1usize..3, padding in 0usize..2, seed in 0u64..9,
    ) {
        prop_assume!(height.min(width) + 2 * padding >= kernel);
        let config = PoolConfig { kernel, stride, padding };
        // Coarse numbers, so that there are ties and zeros; and one that is none.
        let mut numbers: Vec<f64> =
            flat(&tensor(seed, &[2 * height * width], DType::F64)).iter().map(|number| (number * 2.).round()).collect();
        numbers[width + 1] = f64::NAN;
        for dtype in [DType::F32, DType::F64] {
            let x = Tensor::from_vec(numbers.clone(), (1, 2, height, width), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let at_once = |x: &Tensor| relu_max_pool2d(x, config);
            let one_by_one = |x: &Tensor| max_pool2d(&relu(x)?, config);
            prop_assert_eq!(bits(&at_once(&x).unwrap()), bits(&one_by_one(&x).unwrap()));
            prop_assert_eq!(gradient_of_sum(&x, at_once), gradient_of_sum(&x, one_by_one));
        }
    }
}

#[test]
fn batch_norm_normalises_with_the_biased_and_reports_the_unbiased_variance() {
    let x = Tensor::new(&[[1.0f64, 10.], [2., 20.], [6., 30.]], &Device::Cpu).unwrap();
    let gamma = Tensor::new(&[2.0f64, 1.], &Device::Cpu).unwrap();
    let beta = Tensor::new(&[1.0f64, -1.], &Device::Cpu).unwrap();
    let (y, statistics) = batch_norm_train(&x, &gamma, &beta, 0.5, Epilogue::NONE).unwrap();
    assert_eq!(flat(&statistics.mean), [3., 20.]);
    assert_eq!(flat(&statistics.unbiased_variance), [7., 100.]);
    let first = |x: f64| 2. * (x - 3.) / (14.0f64 / 3. + 0.5).sqrt() + 1.;
    let second = |x: f64| (x - 20.) / (200.0f64 / 3. + 0.5).sqrt() - 1.;
    let expected = vec![first(1.), second(10.), first(2.), second(20.), first(6.), second(30.)];
    assert!(distance(&y, &Tensor::from_vec(expected, (3, 2), &Device::Cpu).unwrap()) < 1e-12);
}

#[test]
fn a_large_mean_does_not_spoil_the_variance_in_f32() {
    let numbers: Vec<f32> = (0..4096).map(|i| 1000.0 + (i % 2) as f32).collect();
    let x = Tensor::from_vec(numbers, (4, 1, 32, 32), &Device::Cpu).unwrap();
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    let (_, statistics) = batch_norm_train(&x, &one, &one, 1e-5, Epilogue::NONE).unwrap();
    let expected = 0.25 * 4096. / 4095.;
    assert!((flat(&statistics.unbiased_variance)[0] - expected).abs() < 1e-6);
}

#[test]
fn a_large_mean_does_not_spoil_the_gradient_in_f32() {
    let dims = [4, 1, 16, 16];
    let (noise, weights) = (tensor(1, &dims, DType::F32), tensor(2, &dims, DType::F32));
    // Rounded to f32 once, so that both types see the same numbers.
    let x = (noise + 1000.0).unwrap();
    let gradient = |dtype: DType| {
        let [x, weights] = [&x, &weights].map(|t| t.to_dtype(dtype).unwrap());
        let (x, one) = (Var::from_tensor(&x).unwrap(), Tensor::ones(1, dtype, &Device::Cpu).unwrap());
        let (y, _) = batch_norm_train(x.as_tensor(), &one, &one, 1e-5, Epilogue::NONE).unwrap();
        (y * weights).unwrap().sum_all().unwrap().backward().unwrap().remove(x.as_tensor()).unwrap()
    };
    let off = distance(&gradient(DType::F32), &gradient(DType::F64));
    // A product with x itself is off by 6.6e-6. What is left is the rounding of the mean.
    assert!(off < 3e-6, "off by {off}");
}

#[test]
fn a_convolution_with_its_relu_has_the_bits_of_both_one_after_the_other() {
    let config = Conv2dConfig { stride: 1, padding: 1 };
    for channels in [3, 20] {
        let variables = [(1, vec![2, channels, 9, 9]), (2, vec![17, channels, 3, 3]), (3, vec![17])]
            .map(|(seed, dims)| Var::from_tensor(&tensor(seed, &dims, DType::F32)).unwrap());
        let [x, weight, bias] = variables.each_ref();
        let run = |y: Tensor| {
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradients = variables.each_ref().map(|variable| bits(gradients.get(variable).unwrap()));
            (bits(&y), gradients)
        };
        let apart = relu(&conv2d(x, weight, Some(bias), config).unwrap()).unwrap();
        let together = conv2d_activated(x, weight, Some(bias), config, Activation::Relu).unwrap();
        assert_eq!(run(together), run(apart), "{channels} channels");
    }
}

#[test]
fn batch_norm_refuses_a_single_number_per_channel() {
    let x = Tensor::zeros((1, 3, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let parameter = Tensor::ones(3, DType::F32, &Device::Cpu).unwrap();
    assert!(batch_norm_train(&x, &parameter, &parameter, 1e-5, Epilogue::NONE).is_err());
}

#[test]
fn the_residual_is_added_before_the_relu_and_shares_its_gradient() {
    let x = image(&[&[1., -1., 1., -1.]]);
    let (gamma, beta) = (Tensor::new(&[1.0f64], &Device::Cpu).unwrap(), Tensor::new(&[0.0f64], &Device::Cpu).unwrap());
    let residual = Var::from_tensor(&image(&[&[-3., 0.5, 2., 4.]])).unwrap();
    let epilogue = Epilogue { residual: Some(residual.as_tensor()), activation: Activation::Relu };
    let (y, _) = batch_norm_train(&x, &gamma, &beta, 0., epilogue).unwrap();
    assert_eq!(flat(&y), [0., 0., 3., 3.]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(gradients.get(residual.as_tensor()).unwrap()), [0., 0., 1., 1.]);
}

#[test]
fn the_gradient_of_the_pixel_clamp_passes_on_the_closed_interval() {
    let x = image(&[&[-0.5, 0., 0.25, 1., 1.5]]);
    let f = |x: &Tensor| normalize(x, &[0.5], &[0.25]);
    assert_eq!(flat(&f(&x).unwrap()), [-2., -2., -1., 2., 2.]);
    assert_eq!(gradient_of_sum(&x, f), [0., 4., 4., 4., 0.]);
}

#[test]
fn other_types_and_wrong_shapes_are_refused() {
    let x = Tensor::zeros((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let weight = Tensor::zeros((3, 1, 3, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 1 }).is_err());
    let weight = Tensor::zeros((3, 2, 5, 5), DType::F32, &Device::Cpu).unwrap();
    assert!(conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 0 }).is_err());
    let message = relu(&x.to_dtype(DType::U32).unwrap()).unwrap_err().to_string();
    assert!(message.contains("f32 and f64"), "{message}");
}
