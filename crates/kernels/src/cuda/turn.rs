//! Turning a convolution's weight, so that its gradient is a convolution too.

use candle_core::{Result, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use super::{detached, device_of};

/// The contiguous `weight` (O, C, k, k) as (C, O, k, k), each filter turned by half a circle.
pub(super) fn turned(weight: &Tensor) -> Result<Tensor> {
    let (device, dtype, (outputs, inputs, height, width)) = (device_of(weight)?, weight.dtype(), weight.dims4()?);
    let (len, result) = (count(weight.elem_count())?, unwritten(device, dtype, weight.elem_count())?);
    let [from, to] = [Address::of(weight)?, Address::of_new(&result)?].map(Argument::At);
    let sizes = [count(outputs)?, count(inputs)?, count(height * width)?].map(Argument::Count);
    let arguments = [&[from, to, Argument::Count(len)][..], &sizes].concat();
    // SAFETY: both hold `len` numbers, the product of the sizes.
    unsafe { Kernel::new(KernelSource::Turn, "turn", dtype)?.map(device, len, &arguments)? };
    Ok(detached(result, (inputs, outputs, height, width)))
}
