//! How weights begin, from a random stream of every tensor's own.
//!
//! A tensor's numbers depend on the seed, its name and its shape alone: not on the order in which layers are made, and
//! not on the network around it.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{Init, init::ZERO};

use crate::random::Stream;

/// What a layer's parameters begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// PyTorch's default, U(−1/√fan_in, 1/√fan_in) for weights and biases, which it reaches by Kaiming's uniform with a = √5.
    Uniform,
    /// torchvision's choice for its networks: normal weights, by Kaiming's rule for the fan-out in convolutions and of
    /// deviation 0.01 in linear layers; biases of 0.
    Normal,
}

impl Beginning {
    /// Weight and bias of a convolution by square kernels of `size` pixels a side.
    pub(crate) fn conv(self, inputs: usize, outputs: usize, size: usize) -> [Init; 2] {
        match self {
            Self::Uniform => [uniform(inputs * size * size); 2],
            Self::Normal => [normal((2.0 / (outputs * size * size) as f64).sqrt()), ZERO],
        }
    }

    /// Weight and bias of a linear layer.
    pub(crate) fn linear(self, inputs: usize) -> [Init; 2] {
        match self {
            Self::Uniform => [uniform(inputs); 2],
            Self::Normal => [normal(0.01), ZERO],
        }
    }
}

fn uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

fn normal(deviation: f64) -> Init {
    Init::Randn { mean: 0.0, stdev: deviation }
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
    let mut stream = Stream::new(seed, name);
    match init {
        Init::Const(value) => Tensor::full(value, shape, device)?.to_dtype(dtype),
        Init::Uniform { lo, up } => drawn(|| lo + (up - lo) * stream.uniform(), shape, dtype, device),
        Init::Randn { mean, stdev } => drawn(|| mean + stdev * stream.normal(), shape, dtype, device),
        Init::Kaiming { .. } => candle_core::bail!("`{name}`: no layer of these networks starts from {init:?}"),
    }
}

/// Numbers one by one; in f32 without a copy in f64, which for a VGG16 would be most of a gigabyte.
fn drawn(mut draw: impl FnMut() -> f64, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
    let count = 0..shape.elem_count();
    let tensor = match dtype {
        DType::F32 => Tensor::from_vec(count.map(|_| draw() as f32).collect(), shape, &Device::Cpu)?,
        _ => Tensor::from_vec(count.map(|_| draw()).collect::<Vec<f64>>(), shape, &Device::Cpu)?.to_dtype(dtype)?,
    };
    tensor.to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64, name: &str, init: Init) -> Vec<f64> {
        let shape = Shape::from((4, 2, 25));
        tensor(seed, name, &shape, init, DType::F64, &Device::Cpu)
            .and_then(|tensor| tensor.flatten_all()?.to_vec1())
            .unwrap()
    }

    fn numbers(seed: u64, name: &str) -> Vec<f64> {
        values(seed, name, uniform(50))
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
    fn normal_weights_have_the_deviation_of_their_fan_out() {
        // 64 kernels of 5×5 pixels.
        let deviation = (2.0 / (64.0 * 25.0f64)).sqrt();
        let [weight, bias] = Beginning::Normal.conv(3, 64, 5);
        let weights = values(7, "features.0.weight", weight);
        let (mean, square) = (weights.iter().sum::<f64>() / 200.0, weights.iter().map(|w| w * w).sum::<f64>() / 200.0);
        // Five standard errors of 200 normal numbers.
        assert!(mean.abs() < 5.0 * deviation / 200f64.sqrt(), "{mean}");
        assert!((square / (deviation * deviation) - 1.0).abs() < 5.0 * (2f64 / 200.0).sqrt(), "{square}");
        let beyond = weights.iter().filter(|w| w.abs() > 2.0 * deviation).count();
        assert!((1..=25).contains(&beyond), "{beyond} of 200 beyond two deviations, 9 expected");
        assert!(values(7, "features.0.bias", bias).iter().all(|&b| b == 0.0));
    }

    #[test]
    fn seed_and_name_both_change_the_numbers() {
        assert_eq!(numbers(7, "a.weight"), numbers(7, "a.weight"));
        assert_ne!(numbers(7, "a.weight"), numbers(8, "a.weight"));
        assert_ne!(numbers(7, "a.weight"), numbers(7, "b.weight"));
    }
}
