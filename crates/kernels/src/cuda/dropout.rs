//! Dropout.

use candle_core::{CudaStorage, Result, Storage, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use super::{detached, device_of};
use crate::dropout::Mask;

fn applied(mask: Mask, x: &Tensor) -> Result<CudaStorage> {
    let (device, dtype, len) = (device_of(x)?, x.dtype(), count(x.elem_count())?);
    let y = unwritten(device, dtype, x.elem_count())?;
    let [x_at, y_at] = [Address::of(x)?, Address::of_new(&y)?].map(Argument::At);
    let [key, limit] = [mask.key, mask.limit].map(Argument::Word);
    let arguments = [x_at, y_at, key, limit, Argument::Number(mask.scale), Argument::Count(len)];
    // SAFETY: both hold `len` numbers.
    unsafe { Kernel::new(KernelSource::Dropout, "dropout", dtype)?.map(device, len, &arguments)? };
    Ok(y)
}

/// `x` times the mask.
pub(crate) fn dropout(mask: Mask, x: &Tensor) -> Result<Storage> {
    applied(mask, x).map(Storage::Cuda)
}

/// The gradient times the mask.
pub(crate) fn input_gradient(mask: Mask, gradient: &Tensor) -> Result<Tensor> {
    Ok(detached(applied(mask, gradient)?, gradient.shape()))
}
