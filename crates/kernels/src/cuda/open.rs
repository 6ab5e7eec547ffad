//! Opening a device.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, Device, Result};

/// Opens CUDA device number `ordinal`, set up for training.
///
/// # Errors
/// When the driver is missing, or refuses the device.
pub fn open(ordinal: usize) -> Result<Device> {
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: the device has one stream, which every thread uses, so that no work needs to wait for work of another stream.
    unsafe { device.disable_event_tracking() };
    keep_freed_memory(&device)?;
    Ok(Device::Cuda(device))
}

/// Tells the driver to keep freed memory for the next tensor. By default it hands all of it back whenever the host waits for the
/// device, which is several times per step.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut threshold = u64::MAX;
    // SAFETY: the device is the context's own, the pool is the device's, and the attribute is a 64-bit number.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast()).w()
    }
}
