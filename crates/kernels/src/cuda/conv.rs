//! Convolutions of tensors.

use candle_core::cuda_backend::CudaStorageSlice as Slice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Storage, Tensor, bail};

use super::cudnn::{self, Convolved};
use super::{channel_shape, detached, device_of, norm, turn};
use crate::conv::ConvShape;
use crate::epilogue::Epilogue;

/// A pass over two operands, for every number type.
trait Pass {
    fn run<T: Convolved>(
        &self,
        device: &CudaDevice,
        first: &CudaView<'_, T>,
        second: &CudaView<'_, T>,
    ) -> Result<CudaSlice<T>>;
}

/// Runs a pass on two contiguous tensors of one type.
fn run(pass: &impl Pass, first: &Tensor, second: &Tensor) -> Result<CudaStorage> {
    fn go<T: Convolved>(
        pass: &impl Pass,
        device: &CudaDevice,
        (first, first_layout): (&CudaSlice<T>, &Layout),
        (second, second_layout): (&CudaSlice<T>, &Layout),
    ) -> Result<CudaStorage> {
        let result = pass.run(device, &view(first, first_layout)?, &view(second, second_layout)?)?;
        Ok(CudaStorage::wrap_cuda_slice(result, device.clone()))
    }
    let device = device_of(first)?;
    let ((a, al), (b, bl)) = (first.storage_and_layout(), second.storage_and_layout());
    let (Storage::Cuda(a), Storage::Cuda(b)) = (&*a, &*b) else {
        bail!("conv2d: a CUDA kernel was given a tensor of another device");
    };
    match (&a.slice, &b.slice) {
        (Slice::BF16(a), Slice::BF16(b)) => go(pass, device, (a, al), (b, bl)),
        (Slice::F32(a), Slice::F32(b)) => go(pass, device, (a, al), (b, bl)),
        (Slice::F64(a), Slice::F64(b)) => go(pass, device, (a, al), (b, bl)),
        _ => bail!("conv2d has no CUDA kernel for {:?} and {:?}", first.dtype(), second.dtype()),
    }
}

fn view<'a, T>(slice: &'a CudaSlice<T>, layout: &Layout) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(slice.slice(start..end)),
        None => bail!("a kernel was given a tensor that is not contiguous: {:?}", layout.shape()),
    }
}

struct Forward<'a>(&'a ConvShape);

impl Pass for Forward<'_> {
    fn run<T: Convolved>(&self, device: &CudaDevice, x: &CudaView<'_, T>, w: &CudaView<'_, T>) -> Result<CudaSlice<T>> {
        cudnn::forward(device, self.0, x, w)
    }
}

struct InputGradient<'a>(&'a ConvShape);

impl Pass for InputGradient<'_> {
    fn run<T: Convolved>(&self, device: &CudaDevice, g: &CudaView<'_, T>, w: &CudaView<'_, T>) -> Result<CudaSlice<T>> {
        cudnn::input_gradient(device, self.0, g, w)
    }
}

struct WeightGradient<'a>(&'a ConvShape);

impl Pass for WeightGradient<'_> {
    fn run<T: Convolved>(&self, device: &CudaDevice, x: &CudaView<'_, T>, g: &CudaView<'_, T>) -> Result<CudaSlice<T>> {
        cudnn::weight_gradient(device, self.0, x, g)
    }
}

/// A weight as a convolution of `x` reads it: contiguous, of the type of `x`.
fn alike(weight: &Tensor, x: &Tensor) -> Result<Tensor> {
    weight.detach().to_dtype(x.dtype())?.contiguous()
}

/// `activation(conv(x, weight) + bias + residual)`.
pub(crate) fn forward(
    s: &ConvShape,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    epilogue: Epilogue<'_>,
) -> Result<Storage> {
    let bias = bias.map(|bias| super::parameter(bias, x.dtype())).transpose()?;
    let y = run(&Forward(s), x, &alike(weight, x)?)?;
    norm::finish(&channel_shape(s), &y, x.dtype(), bias.as_ref(), epilogue)?;
    Ok(Storage::Cuda(y))
}

/// Gradient of the input.
///
/// At stride 1 it is itself a convolution, of the gradient with the turned weight, and cuDNN's forward pass is the faster way: in
/// f32 on an H200, an attack's step on VGG11 went from 14,100 to 29,100 images/s, against those of cuDNN's passes for gradients that
/// add in a fixed order.
pub(crate) fn input_gradient(s: &ConvShape, weight: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let weight = alike(weight, gradient)?;
    let dx = match turned(s) {
        Some(turned) => run(&Forward(&turned), gradient, &turn::turned(&weight)?)?,
        None => run(&InputGradient(s), gradient, &weight)?,
    };
    Ok(detached(dx, (s.images, s.in_channels, s.height, s.width)))
}

/// The convolution that leads from the gradient of the output to that of the input, if it is one.
fn turned(s: &ConvShape) -> Option<ConvShape> {
    let padding = (s.kernel - 1).checked_sub(s.padding)?;
    let turned = ConvShape {
        in_channels: s.out_channels,
        out_channels: s.in_channels,
        height: s.out_height(),
        width: s.out_width(),
        padding,
        ..*s
    };
    (s.stride == 1).then_some(turned)
}

/// Gradient of the weight.
pub(crate) fn weight_gradient(s: &ConvShape, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let dw = run(&WeightGradient(s), x, gradient)?;
    Ok(detached(dw, (s.out_channels, s.in_channels, s.kernel, s.kernel)))
}

/// Gradient of the bias.
pub(crate) fn bias_gradient(s: &ConvShape, gradient: &Tensor) -> Result<Tensor> {
    let [_, sums] = norm::channel_sums(&channel_shape(s), None, gradient)?;
    Ok(sums)
}
