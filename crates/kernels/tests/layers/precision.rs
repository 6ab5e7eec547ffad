//! What bf16 means, and what it leaves alone.

use candle_core::{DType, Result, Tensor, Var};
use rrm_kernels::{Conv2dConfig, Precision, autocast, bf16_products, conv2d, linear};

use crate::support::{bits, distance, flat, tensor};

/// A convolution's result and its gradients, which are asked for when the precision is the thread's own again.
fn convolved(
    precision: Precision,
    dtype: DType,
    dims: [usize; 4],
    outputs: usize,
    kernel: usize,
) -> Result<[Tensor; 3]> {
    let x = Var::from_tensor(&tensor(1, &dims, dtype))?;
    let weight = Var::from_tensor(&tensor(2, &[outputs, dims[1], kernel, kernel], dtype))?;
    let config = Conv2dConfig { stride: 1, padding: kernel / 2 };
    let y = autocast(precision, || conv2d(&x, &weight, None, config))?;
    let gradients = y.sqr()?.sum_all()?.backward()?;
    let gradient = |var: &Var| gradients.get(var.as_tensor()).expect("tracked").clone();
    Ok([y, gradient(&x), gradient(&weight)])
}

/// The length of the difference over the length of `exact`.
fn relative(found: &Tensor, exact: &Tensor) -> f64 {
    let length = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>().sqrt();
    let (found, exact) = (flat(found), flat(exact));
    length(&mut found.iter().zip(&exact).map(|(found, exact)| found - exact)) / length(&mut exact.iter().copied())
}

/// By Winograd, by packed pixels, by planes, and as a matrix of pixels.
const CONVOLUTIONS: [([usize; 4], usize, usize); 4] =
    [([6, 48, 8, 8], 40, 3), ([6, 20, 9, 9], 24, 5), ([64, 256, 8, 8], 128, 1), ([70, 64, 2, 2], 48, 3)];

#[test]
fn convolutions_round_their_factors_in_every_pass() {
    for (dims, outputs, kernel) in CONVOLUTIONS {
        let single = convolved(Precision::F32, DType::F32, dims, outputs, kernel).unwrap();
        let half = convolved(Precision::Bf16, DType::F32, dims, outputs, kernel).unwrap();
        for (pass, (half, single)) in half.iter().zip(&single).enumerate() {
            let error = relative(half, single);
            assert!(error < 2.5e-2, "{dims:?}, pass {pass}: {error}");
            assert!((error > 1e-4) == bf16_products(), "{dims:?}, pass {pass}: {error}");
        }
    }
}

#[test]
fn small_gradients_do_not_vanish() {
    // A thousandth of what f16 can hold.
    let x = Var::from_tensor(&tensor(1, &[4, 32, 8, 8], DType::F32)).unwrap();
    let weight = Var::from_tensor(&tensor(2, &[32, 32, 3, 3], DType::F32)).unwrap();
    let gradients = |precision, scale: f64| {
        let y = autocast(precision, || conv2d(&x, &weight, None, Conv2dConfig { stride: 1, padding: 1 })).unwrap();
        let gradients = (y.sqr().unwrap().sum_all().unwrap() * scale).unwrap().backward().unwrap();
        [&x, &weight].map(|var| (gradients.get(var.as_tensor()).unwrap() / scale).unwrap())
    };
    for (small, usual) in gradients(Precision::Bf16, 1e-11).iter().zip(gradients(Precision::Bf16, 1.0)) {
        assert!(relative(small, &usual) < 1e-2);
    }
}

#[test]
fn numbers_of_64_bits_and_linear_layers_are_never_rounded() {
    let (dims, outputs, kernel) = CONVOLUTIONS[0];
    let [single, half] =
        [Precision::F32, Precision::Bf16].map(|p| convolved(p, DType::F64, dims, outputs, kernel).unwrap());
    assert!(single.iter().zip(&half).all(|(single, half)| bits(single) == bits(half)));
    let (x, weight) = (tensor(1, &[9, 200], DType::F32), tensor(2, &[70, 200], DType::F32));
    let [single, half] = [Precision::F32, Precision::Bf16].map(|p| autocast(p, || linear(&x, &weight, None)).unwrap());
    assert_eq!(bits(&single), bits(&half));
}

#[test]
fn what_is_not_finite_stays_so() {
    for bad in [f64::NAN, f64::INFINITY] {
        let mut numbers = vec![0.5; 32 * 36];
        numbers[40] = bad;
        let x = Tensor::from_vec(numbers, (1, 32, 6, 6), &candle_core::Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F32).unwrap();
        let weight = tensor(2, &[32, 32, 3, 3], DType::F32);
        let config = Conv2dConfig { stride: 1, padding: 1 };
        let y = autocast(Precision::Bf16, || conv2d(&x, &weight, None, config)).unwrap();
        assert!(!distance(&y, &y.zeros_like().unwrap()).is_finite(), "{bad}");
    }
}
