//! Fully connected layers: products of matrices by cuBLAS, in f32 unless TF32 was asked for.

use candle_core::backend::BackendStorage;
use candle_core::{Result, Storage, Tensor, bail};

use super::{channel_shape, norm, parameter};
use crate::conv::ConvShape;
use crate::epilogue::Epilogue;

/// `x · weightᵀ + bias`.
pub(crate) fn forward(s: &ConvShape, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Storage> {
    let bias = bias.map(|bias| parameter(bias, x.dtype())).transpose()?;
    let weight = weight.detach().to_dtype(x.dtype())?.t()?;
    let ((a, al), (b, bl)) = (x.storage_and_layout(), weight.storage_and_layout());
    let (Storage::Cuda(a), Storage::Cuda(b)) = (&*a, &*b) else {
        bail!("linear: a CUDA kernel was given a tensor of another device");
    };
    let y = a.matmul(b, (1, s.images, s.out_channels, s.in_channels), al, bl)?;
    norm::finish(&channel_shape(s), &y, x.dtype(), bias.as_ref(), Epilogue::NONE)?;
    Ok(Storage::Cuda(y))
}

/// Gradient of the input: `gradient · weight`.
pub(crate) fn input_gradient(weight: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    gradient.detach().matmul(&weight.detach().to_dtype(gradient.dtype())?)
}

/// Gradient of the weight: `gradientᵀ · x`.
pub(crate) fn weight_gradient(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    gradient.detach().t()?.matmul(&x.detach())
}
