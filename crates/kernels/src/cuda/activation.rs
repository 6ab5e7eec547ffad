//! ReLU.

use candle_core::{Result, Storage, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count, pack, packed};
use super::source::KernelSource;
use super::{detached, device_of};

/// `max(x, 0)`.
pub(crate) fn relu(x: &Tensor) -> Result<Storage> {
    let (device, dtype, len) = (device_of(x)?, x.dtype(), x.elem_count());
    let y = unwritten(device, dtype, len)?;
    let addresses = [Address::of(x)?, Address::of_new(&y)?];
    let pack = pack(len, dtype, &addresses)?;
    let packs = count(len / pack)?;
    let [x, y_at] = addresses.map(Argument::At);
    // SAFETY: both hold `len` numbers.
    unsafe {
        Kernel::new(KernelSource::Activation, packed!("relu", pack), dtype)?.map(
            device,
            packs,
            &[x, y_at, Argument::Count(packs)],
        )?;
    }
    Ok(Storage::Cuda(y))
}

/// `gradient` where `output` is positive or no number, else 0.
pub(crate) fn masked(output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (device, dtype, len) = (device_of(output)?, output.dtype(), output.elem_count());
    let dx = unwritten(device, dtype, len)?;
    let addresses = [Address::of(output)?, Address::of(gradient)?, Address::of_new(&dx)?];
    let pack = pack(len, dtype, &addresses)?;
    let packs = count(len / pack)?;
    let [y, gradient, dx_at] = addresses.map(Argument::At);
    // SAFETY: the gradient has the output's shape, and the result as many numbers.
    unsafe {
        Kernel::new(KernelSource::Activation, packed!("relu_gradient", pack), dtype)?.map(
            device,
            packs,
            &[y, gradient, dx_at, Argument::Count(packs)],
        )?;
    }
    Ok(detached(dx, output.shape()))
}
