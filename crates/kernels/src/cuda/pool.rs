//! Pooling.

use candle_core::{DType, Result, Storage, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use super::{detached, device_of};
use crate::pool::PoolShape;

/// Sizes in the order of the kernels' `struct pooling`.
fn sizes(s: &PoolShape) -> Result<Argument> {
    let config = s.config;
    let sizes = [s.height, s.width, s.out_height(), s.out_width(), config.kernel, config.stride, config.padding];
    let mut counts = [0; 7];
    for (to, size) in counts.iter_mut().zip(sizes) {
        *to = count(size)?;
    }
    Ok(Argument::Pooling(counts))
}

fn forward(name: &'static str, s: &PoolShape, x: &Tensor) -> Result<Storage> {
    let device = device_of(x)?;
    let (len, y) = (count(s.out_len())?, unwritten(device, x.dtype(), s.out_len())?);
    let [x_at, y_at] = [Address::of(x)?, Address::of_new(&y)?].map(Argument::At);
    // SAFETY: `x` has the shape that the sizes say, and `y` the `len` numbers that follow from them.
    unsafe {
        Kernel::new(KernelSource::Pool, name, x.dtype())?.map(
            device,
            len,
            &[x_at, y_at, Argument::Count(len), sizes(s)?],
        )?;
    }
    Ok(Storage::Cuda(y))
}

/// The maximum of each window.
pub(crate) fn max(s: &PoolShape, x: &Tensor) -> Result<Storage> {
    forward("pool_max", s, x)
}

/// The mean of each window.
pub(crate) fn mean(s: &PoolShape, x: &Tensor) -> Result<Storage> {
    forward("pool_mean", s, x)
}

/// The gradient, sent to the first maximum of each window.
pub(crate) fn max_gradient(s: &PoolShape, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    input_gradient("pool_max_gradient", s, &[Address::of(x)?, Address::of(gradient)?], gradient)
}

/// The gradient, spread over each window.
pub(crate) fn mean_gradient(s: &PoolShape, gradient: &Tensor) -> Result<Tensor> {
    input_gradient("pool_mean_gradient", s, &[Address::of(gradient)?], gradient)
}

fn input_gradient(name: &'static str, s: &PoolShape, operands: &[Address], like: &Tensor) -> Result<Tensor> {
    let (device, dtype): (_, DType) = (device_of(like)?, like.dtype());
    let (len, dx) = (count(s.in_len())?, unwritten(device, dtype, s.in_len())?);
    let mut arguments: Vec<Argument> = operands.iter().copied().map(Argument::At).collect();
    arguments.extend([Argument::At(Address::of_new(&dx)?), Argument::Count(len), sizes(s)?]);
    // SAFETY: the operands have the shapes that the sizes say, and `dx` the `len` numbers of the input.
    unsafe { Kernel::new(KernelSource::Pool, name, dtype)?.map(device, len, &arguments)? };
    Ok(detached(dx, s.in_dims()))
}
