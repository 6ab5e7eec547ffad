//! Opening the device that a job computes on, and reading clocks beside it.

use std::time::{Duration, Instant};

use candle_core::{Device, DeviceLocation};
use rrm_spec::Precision;

use crate::TrainError;

/// Opens `device`.
///
/// # Errors
/// [`TrainError::Device`] for a CUDA device where this build has no CUDA, or the machine has no such device.
pub fn open_device(device: rrm_spec::Device) -> Result<Device, TrainError> {
    match device {
        rrm_spec::Device::Cpu => Ok(Device::Cpu),
        rrm_spec::Device::Cuda(ordinal) => open_cuda(ordinal).map_err(|why| TrainError::Device { device, why }),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_ordinal: u32) -> Result<Device, String> {
    Err("this rrm-worker was built without CUDA; use `--device cpu`, or rebuild with `--features cuda`".to_owned())
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: u32) -> Result<Device, String> {
    rrm_kernels::cuda::open(ordinal as usize).map_err(|error| {
        // Candle appends the stack to its errors where RUST_BACKTRACE is set.
        let why = error.to_string().lines().next().unwrap_or_default().to_owned();
        format!("the CUDA driver refuses it ({why}); check `nvidia-smi`, or use `--device cpu`")
    })
}

/// Says in the job's log that bf16 will make no difference, where that is so: the job goes on in f32, which is no less exact.
pub(crate) fn warn_where_missing(precision: Precision, device: &Device) {
    if precision == Precision::Bf16 && device.is_cpu() && !rrm_kernels::bf16_products() {
        tracing::warn!(
            instruction_set = rrm_kernels::instruction_set(),
            "bf16 was asked for, but this processor has no bf16 products (avx512_bf16): computing in f32"
        );
    }
}

/// The device's name in records: `cpu` or `cuda:N`.
pub(crate) fn device_name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Measures work on a device: the device's queue is empty at both readings of the clock (digest §5).
pub(crate) struct Stopwatch<'a> {
    device: &'a Device,
    start: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(device: &'a Device) -> candle_core::Result<Self> {
        device.synchronize()?;
        Ok(Self { device, start: Instant::now() })
    }

    pub(crate) fn elapsed(&self) -> candle_core::Result<Duration> {
        self.device.synchronize()?;
        Ok(self.start.elapsed())
    }

    pub(crate) fn elapsed_us(&self) -> candle_core::Result<u64> {
        Ok(microseconds(self.elapsed()?))
    }
}

/// A duration as records hold it; half a million years fit.
fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rrm_spec::FailureClass;

    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        assert!(open_device(rrm_spec::Device::Cpu).unwrap().is_cpu());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn asking_for_cuda_without_the_feature_says_how_to_get_it() {
        let error = open_device(rrm_spec::Device::Cuda(0)).unwrap_err();
        assert_eq!(error.class(), FailureClass::Machine);
        let text = error.to_string();
        assert!(text.contains("cuda:0") && text.contains("--features cuda") && text.contains("--device cpu"), "{text}");
    }
}
