//! Convolution of images (N, C, H, W) with square kernels (O, C, k, k).

#[cfg(test)]
pub(crate) mod checks;
mod choice;
mod columns;
mod dense;
mod direct;
mod few;
mod frozen;
pub(crate) mod gradients;
mod kept;
mod op;
mod partials;
pub(crate) mod passes;
#[cfg(test)]
mod plain;
mod shape;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weight;
mod winograd;

use candle_core::{Result, Tensor, bail};

pub use choice::with_direct_convolutions;
pub use frozen::{FrozenNorm, conv2d_frozen_norm};
pub use kept::KeptConv2d;
pub use passes::weight_gradient_passes;

pub(crate) use shape::ConvShape;
pub(crate) use weight::Weight;

use crate::epilogue::{Activation, Epilogue};

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
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, config: Conv2dConfig) -> Result<Tensor> {
    conv2d_activated(x, weight, bias, config, Activation::Identity)
}

/// `activation(conv2d(x, weight, bias))`, without a pass over the image of its own for the activation.
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_activated(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
    activation: Activation,
) -> Result<Tensor> {
    conv2d_finished(x, weight, bias, config, Epilogue { residual: None, activation })
}

/// `activation(conv2d(x, weight, bias) + residual)`, without a pass over the image of its own for either.
///
/// # Errors
/// As [`conv2d`], and when the residual has not the shape of the output.
pub fn conv2d_finished(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    let shape = ConvShape::new(x, weight, config)?;
    check_bias(bias, &shape)?;
    check_residual(epilogue.residual, &shape)?;
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let residual = epilogue.residual.map(Tensor::contiguous).transpose()?;
    let epilogue = Epilogue { residual: residual.as_ref(), ..epilogue };
    op::apply(shape, &x.contiguous()?, &weight.contiguous()?, bias.as_ref(), epilogue)
}

fn check_bias(bias: Option<&Tensor>, shape: &ConvShape) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [shape.out_channels] => {
            bail!("conv2d: the bias is {:?} for {} output channels", bias.shape(), shape.out_channels)
        }
        _ => Ok(()),
    }
}

fn check_residual(residual: Option<&Tensor>, shape: &ConvShape) -> Result<()> {
    match residual {
        Some(residual) if residual.dims4()? != shape.out_dims() => {
            bail!("conv2d: the residual is {:?}, the output {:?}", residual.shape(), shape.out_dims())
        }
        _ => Ok(()),
    }
}
