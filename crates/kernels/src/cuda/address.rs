//! Where a tensor's numbers lie on the device.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr, sys::CUdeviceptr};
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Storage, Tensor, bail};

use super::source::NumberType;

/// The address of the first number of a contiguous tensor; 0 is the null pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) CUdeviceptr);

impl Address {
    /// What a kernel takes for an operand that is not there.
    pub(super) const NONE: Self = Self(0);

    /// The address of a tensor's numbers.
    pub(super) fn of(tensor: &Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Self::within(storage, layout),
            _ => bail!("a CUDA kernel was given a tensor of another device"),
        }
    }

    /// The address of an operand that may be missing.
    pub(super) fn of_any(tensor: Option<&Tensor>) -> Result<Self> {
        tensor.map_or(Ok(Self::NONE), Self::of)
    }

    /// The address of a new result's numbers.
    pub(super) fn of_new(storage: &CudaStorage) -> Result<Self> {
        Self::within(storage, &Layout::contiguous(0))
    }

    /// The address of the numbers in `storage` that `layout` picks.
    pub(super) fn within(storage: &CudaStorage, layout: &Layout) -> Result<Self> {
        let Some((start, _)) = layout.contiguous_offsets() else {
            bail!("a kernel was given a tensor that is not contiguous: {:?}", layout.shape());
        };
        let bytes = NumberType::of(storage.dtype())?.bytes();
        let first = match &storage.slice {
            CudaStorageSlice::BF16(slice) => first(slice),
            CudaStorageSlice::F32(slice) => first(slice),
            CudaStorageSlice::F64(slice) => first(slice),
            _ => bail!("no CUDA kernel for {:?}", storage.dtype()),
        };
        Ok(Self(first + (start * bytes) as CUdeviceptr))
    }
}

fn first<T>(slice: &CudaSlice<T>) -> CUdeviceptr {
    // What the second value would record is of use to other streams only, of which there are none.
    slice.device_ptr(slice.stream()).0
}

/// Memory for `len` numbers, whose content is arbitrary until a kernel writes it.
pub(crate) fn unwritten(device: &CudaDevice, dtype: DType, len: usize) -> Result<CudaStorage> {
    fn slice<T: DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
        // SAFETY: every bit pattern is a number, and each caller has all of them written before they are read.
        unsafe { device.alloc(len) }
    }
    let slice = match NumberType::of(dtype)? {
        NumberType::Bf16 => CudaStorageSlice::BF16(slice(device, len)?),
        NumberType::F32 => CudaStorageSlice::F32(slice(device, len)?),
        NumberType::F64 => CudaStorageSlice::F64(slice(device, len)?),
    };
    Ok(CudaStorage { slice, device: device.clone() })
}
