//! Convolution of images (N, C, H, W) with square kernels (O, C, k, k).

#[cfg(test)]
pub(crate) mod checks;
mod choice;
mod columns;
mod dense;
mod direct;
mod frozen;
mod op;
mod partials;
pub(crate) mod passes;
#[cfg(test)]
mod plain;
mod shape;
mod winograd;

use candle_core::{Result, Tensor, bail};

pub use choice::with_direct_convolutions;
pub use frozen::{FrozenNorm, conv2d_frozen_norm};
pub use passes::weight_gradient_passes;

pub(crate) use shape::ConvShape;

/// How a kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Pixels between two neighbouring windows, at least 1.
    pub stride: usize,
    /// Zero pixels added on each side.
    pub padding: usize,
}

/// Cross-correlation of `x` (N, C, H, W) with `weight` (O, C, k, k), plus `bias` (O); the output is (N, O, H', W') with
/// `H' = (H + 2 padding - k) / stride + 1`.
///
/// The backward pass computes the gradients of tracked arguments alone.
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, config: Conv2dConfig) -> Result<Tensor> {
    let shape = ConvShape::new(x, weight, config)?;
    check_bias(bias, &shape)?;
    if !x.device().is_cpu() {
        return composed(x, weight, bias, config);
    }
    let bias = bias.map(Tensor::contiguous).transpose()?;
    op::apply(shape, &x.contiguous()?, &weight.contiguous()?, bias.as_ref())
}

fn check_bias(bias: Option<&Tensor>, shape: &ConvShape) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [shape.out_channels] => {
            bail!("conv2d: the bias is {:?} for {} output channels", bias.shape(), shape.out_channels)
        }
        _ => Ok(()),
    }
}

/// The same through Candle's own operations, for other devices.
fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, config: Conv2dConfig) -> Result<Tensor> {
    let y = x.conv2d(weight, config.padding, config.stride, 1, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_composed_convolution_agrees_with_the_kernel() {
        let tensor = |seed, dims: &[usize]| {
            let numbers = checks::numbers(seed, dims.iter().product()).into_iter().map(f64::from).collect();
            Tensor::from_vec::<_, f64>(numbers, dims, &Device::Cpu).unwrap()
        };
        let (x, weight, bias) = (tensor(1, &[2, 3, 9, 7]), tensor(2, &[4, 3, 3, 3]), tensor(3, &[4]));
        for (stride, padding) in [(1, 1), (2, 1), (3, 0)] {
            let config = Conv2dConfig { stride, padding };
            let ours = conv2d(&x, &weight, Some(&bias), config).unwrap();
            let theirs = composed(&x, &weight, Some(&bias), config).unwrap();
            let worst: f64 = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(worst < 1e-12, "off by {worst}");
        }
    }
}
#[cfg(test)]
mod speed;
