//! Random tensors and finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};

/// Numbers in [-1, 1) from a counter, the same on every machine.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A tensor of such numbers.
pub(crate) fn tensor(seed: u64, dims: &[usize], dtype: DType) -> Tensor {
    let numbers = numbers(seed, dims.iter().product());
    Tensor::from_vec(numbers, dims, &Device::Cpu).and_then(|t| t.to_dtype(dtype)).expect("the sizes agree")
}

/// The tensor's numbers as f64, flat.
pub(crate) fn flat(t: &Tensor) -> Vec<f64> {
    let flat = t.flatten_all().and_then(|t| t.to_dtype(DType::F64)).and_then(|t| t.to_vec1());
    flat.expect("a float tensor on the CPU")
}

/// Bits of the tensor's numbers, for exact comparisons.
pub(crate) fn bits(t: &Tensor) -> Vec<u64> {
    flat(t).into_iter().map(f64::to_bits).collect()
}

/// Largest absolute difference.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let differences = flat(a).into_iter().zip(flat(b)).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
}

/// Compares the gradients of `Σ weights · f(inputs)` that the backward pass gives with central differences, number by number,
/// in f64.
pub(crate) fn check_gradients(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).expect("a copy")).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tracked).expect("the operation runs");
    let weights = tensor(99, y.dims(), DType::F64);
    let scalar = |y: Tensor| -> f64 { (y * &weights).unwrap().sum_all().unwrap().to_scalar().unwrap() };
    let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().expect("the backward pass runs");
    for (which, var) in vars.iter().enumerate() {
        let gradient = flat(gradients.get(var.as_tensor()).expect("a gradient for every input"));
        let original = flat(&inputs[which]);
        for (i, &expected) in gradient.iter().enumerate() {
            const STEP: f64 = 1e-5;
            let shifted = |by: f64| {
                let mut numbers = original.clone();
                numbers[i] += by;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(numbers, inputs[which].dims(), &Device::Cpu).unwrap();
                scalar(f(&inputs).unwrap())
            };
            let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            let error = (difference - expected).abs() / (1.0 + expected.abs());
            assert!(error < 1e-6, "input {which}, number {i}: gradient {expected}, difference {difference}");
        }
    }
}
