//! PyTorch's default initialisation, from a random stream of every tensor's own.
//!
//! A tensor's numbers depend on the seed, its name and its shape alone: not on the order in which layers are made, and
//! not on the network around it.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;

/// Weight or bias of a layer with `fan_in` inputs per output: U(−1/√fan_in, 1/√fan_in). PyTorch reaches this by
/// Kaiming's uniform with a = √5.
pub(crate) fn uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// The tensor `name` as it is before training.
pub(crate) fn tensor(
    seed: u64,
    name: &str,
    shape: &Shape,
    init: Init,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    match init {
        Init::Const(value) => Tensor::full(value, shape, device)?.to_dtype(dtype),
        Init::Uniform { lo, up } => {
            let mut stream = Stream::new(seed, name);
            let numbers: Vec<f64> = (0..shape.elem_count()).map(|_| lo + (up - lo) * stream.uniform()).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
        }
        Init::Randn { .. } | Init::Kaiming { .. } => {
            candle_core::bail!("`{name}`: no layer of these networks starts from {init:?}")
        }
    }
}

/// splitmix64 (Steele et al. 2014), keyed by seed and name.
struct Stream {
    state: u64,
}

impl Stream {
    fn new(seed: u64, name: &str) -> Self {
        Self { state: mixed(seed) ^ fnv1a(name) }
    }

    /// The next number in [0, 1), of 53 random bits.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mixed(self.state) >> 11) as f64 * 2f64.powi(-53)
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u64, name: &str) -> Vec<f64> {
        let shape = Shape::from((4, 2, 25));
        tensor(seed, name, &shape, uniform(50), DType::F64, &Device::Cpu)
            .and_then(|tensor| tensor.flatten_all()?.to_vec1())
            .unwrap()
    }

    #[test]
    fn weights_fill_the_interval_of_their_fan_in_evenly() {
        let (bound, weights) = (1.0 / 50f64.sqrt(), numbers(7, "features.0.weight"));
        assert!(weights.iter().all(|w| w.abs() <= bound));
        let (mean, square) = (weights.iter().sum::<f64>() / 200.0, weights.iter().map(|w| w * w).sum::<f64>() / 200.0);
        // Five standard errors of 200 uniform numbers.
        assert!(mean.abs() < 5.0 * bound / (3f64 * 200.0).sqrt(), "{mean}");
        assert!((square / (bound * bound) - 1.0 / 3.0).abs() < 5.0 * (4f64 / 45.0 / 200.0).sqrt(), "{square}");
    }

    #[test]
    fn seed_and_name_both_change_the_numbers() {
        assert_eq!(numbers(7, "a.weight"), numbers(7, "a.weight"));
        assert_ne!(numbers(7, "a.weight"), numbers(8, "a.weight"));
        assert_ne!(numbers(7, "a.weight"), numbers(7, "b.weight"));
    }
}
