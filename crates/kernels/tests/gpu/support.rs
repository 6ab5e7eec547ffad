//! Random tensors, and reading them back.

use candle_core::{DType, Device, Result, Tensor};

/// Numbers in [-1, 1) from a counter, the same on every machine.
fn numbers(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A tensor of such numbers on the CPU, in f64, each a number of bf16 too: so every type computes with the same inputs.
pub(crate) fn tensor(seed: u64, dims: &[usize]) -> Tensor {
    let numbers = numbers(seed, dims.iter().product());
    let exact = Tensor::from_vec(numbers, dims, &Device::Cpu).and_then(|t| t.to_dtype(DType::BF16));
    exact.and_then(|t| t.to_dtype(DType::F64)).expect("the sizes agree")
}

/// The tensor's numbers in f64, in row-major order, wherever it lies.
pub(crate) fn flat(t: &Tensor) -> Result<Vec<f64>> {
    t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The bits of the tensor's numbers.
pub(crate) fn bits(t: &Tensor) -> Result<Vec<u64>> {
    Ok(flat(t)?.into_iter().map(f64::to_bits).collect())
}
