//! Updates in place.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Layout, Result, Tensor, bail};

use super::address::Address;
use super::device_of;
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use crate::sgd::SgdConfig;

/// One step of gradient descent with momentum, on the storage of `weight` and `buffer`; all three contiguous and of one shape
/// and type.
pub(crate) fn sgd(weight: &Tensor, buffer: &Tensor, gradient: &Tensor, config: SgdConfig) -> Result<()> {
    let SgdConfig { learning_rate, momentum, weight_decay } = config;
    let len = count(weight.elem_count())?;
    let [weight_at, buffer_at, gradient_at] =
        [Address::of(weight)?, Address::of(buffer)?, Address::of(gradient)?].map(Argument::At);
    let [rate, momentum, decay] = [learning_rate, momentum, weight_decay].map(Argument::Number);
    let arguments = [weight_at, buffer_at, gradient_at, rate, momentum, decay, Argument::Count(len)];
    // SAFETY: all three hold `len` numbers.
    unsafe { Kernel::new(KernelSource::Update, "sgd", weight.dtype())?.map(device_of(weight)?, len, &arguments) }
}

/// `a = keep * a + add * b`, both contiguous and of one type.
pub(crate) fn blend(
    (a, a_layout): (&mut CudaStorage, &Layout),
    (b, b_layout): (&CudaStorage, &Layout),
    factors: [f64; 2],
) -> Result<()> {
    if a.dtype() != b.dtype() || a_layout.shape() != b_layout.shape() {
        bail!("blend: {:?} of {:?} and {:?} of {:?}", a_layout.shape(), a.dtype(), b_layout.shape(), b.dtype());
    }
    let len = count(a_layout.shape().elem_count())?;
    let [a_at, b_at] = [Address::within(a, a_layout)?, Address::within(b, b_layout)?].map(Argument::At);
    let [keep, add] = factors.map(Argument::Number);
    let arguments = [a_at, b_at, keep, add, Argument::Count(len)];
    // SAFETY: both hold `len` numbers.
    unsafe { Kernel::new(KernelSource::Update, "blend", a.dtype())?.map(a.device(), len, &arguments) }
}
