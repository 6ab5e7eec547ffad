//! Where an operation's arithmetic runs.

/// Runs the arm of the device that `$tensor` lies on; fails for devices without kernels.
///
/// An operation is the same on every device: what it is applied to, what it keeps, which gradients it owes. Only arithmetic
/// differs, and this macro is where the ways part.
macro_rules! by_device {
    ($tensor:expr, $name:expr, cpu => $cpu:expr, cuda => $cuda:expr $(,)?) => {
        match $tensor.device() {
            candle_core::Device::Cpu => $cpu,
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(_) => $cuda,
            other => candle_core::bail!("{} has no kernel for {:?}", $name, other.location()),
        }
    };
}
pub(crate) use by_device;
