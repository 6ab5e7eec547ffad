//! Pixel normalisation.

use candle_core::{Result, Storage, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use super::{detached, device_of, parameter_type};

/// Each channel's mean, then each channel's deviation, on the device of `x`.
fn constants(x: &Tensor, mean: &[f64], std: &[f64]) -> Result<Tensor> {
    Tensor::new([mean, std].concat(), x.device())?.to_dtype(parameter_type(x.dtype()))
}

/// Sizes as the kernels take them: all numbers, channels, numbers of a plane.
fn sizes(x: &Tensor, channels: usize) -> Result<[Argument; 3]> {
    let (len, images) = (x.elem_count(), x.dim(0)?);
    let plane = if images == 0 { 1 } else { len / images / channels };
    Ok([count(len)?, count(channels)?, count(plane)?].map(Argument::Count))
}

/// `(clamp(x, 0, 1) - mean) / std` per channel.
pub(crate) fn normalize(x: &Tensor, mean: &[f64], std: &[f64]) -> Result<Storage> {
    let device = device_of(x)?;
    let constants = constants(x, mean, std)?;
    let y = unwritten(device, x.dtype(), x.elem_count())?;
    let [x_at, constants_at, y_at] =
        [Address::of(x)?, Address::of(&constants)?, Address::of_new(&y)?].map(Argument::At);
    let [len, channels, plane] = sizes(x, mean.len())?;
    // SAFETY: `x` and `y` hold `len` numbers, and there are two constants for each channel.
    unsafe {
        Kernel::new(KernelSource::Pixels, "normalize", x.dtype())?.map(
            device,
            count(x.elem_count())?,
            &[x_at, constants_at, y_at, len, channels, plane],
        )?;
    }
    Ok(Storage::Cuda(y))
}

/// Gradient of the pixels.
pub(crate) fn input_gradient(x: &Tensor, gradient: &Tensor, mean: &[f64], std: &[f64]) -> Result<Tensor> {
    let device = device_of(x)?;
    let constants = constants(x, mean, std)?;
    let dx = unwritten(device, x.dtype(), x.elem_count())?;
    let addresses = [Address::of(x)?, Address::of(gradient)?, Address::of(&constants)?, Address::of_new(&dx)?];
    let [x_at, gradient_at, constants_at, dx_at] = addresses.map(Argument::At);
    let [len, channels, plane] = sizes(x, mean.len())?;
    // SAFETY: `x`, the gradient and the result hold `len` numbers, and there are two constants for each channel.
    unsafe {
        Kernel::new(KernelSource::Pixels, "normalize_gradient", x.dtype())?.map(
            device,
            count(x.elem_count())?,
            &[x_at, gradient_at, constants_at, dx_at, len, channels, plane],
        )?;
    }
    Ok(detached(dx, x.shape()))
}
