//! Where infinities and NaN are.

use candle_core::{DType, Result, Tensor};

use super::address::Address;
use super::device_of;
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;

/// The position of the first of `tensors`, at least one and all of one device, that holds an infinity or a NaN: one read of each, and one wait
/// for the device.
pub(crate) fn first_not_finite(tensors: &[&Tensor]) -> Result<Option<usize>> {
    let flags = Tensor::zeros(tensors.len(), DType::F32, tensors[0].device())?;
    for (position, tensor) in tensors.iter().enumerate() {
        mark(&tensor.detach().contiguous()?, &flags, position)?;
    }
    Ok(flags.to_vec1::<f32>()?.iter().position(|&flag| flag != 0.0))
}

fn mark(tensor: &Tensor, flags: &Tensor, position: usize) -> Result<()> {
    let (len, position) = (count(tensor.elem_count())?, count(position)?);
    let [x, flags] = [Address::of(tensor)?, Address::of(flags)?].map(Argument::At);
    let arguments = [x, Argument::Count(len), flags, Argument::Count(position)];
    let kernel = Kernel::new(KernelSource::Finite, "mark_not_finite", tensor.dtype())?;
    // SAFETY: the tensor holds `len` numbers, and there is a flag for its position.
    unsafe { kernel.map(device_of(tensor)?, len, &arguments) }
}
