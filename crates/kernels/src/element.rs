//! The number types of the kernels, and how an operation gets at a tensor's numbers.

use crate::scratch::Kept;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail};

/// A number type that every kernel is written for: `f32` for work, `f64` for gradient and parity tests.
pub(crate) trait Element: WithDType + Kept {
    const ZERO: Self;
    const ONE: Self;

    /// The larger of two numbers; a NaN on either side wins, as in PyTorch.
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }

    /// Whether this is not a number.
    fn is_nan(self) -> bool;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

/// Runs `$body` with the type alias `$T` set to the storage's number type, or fails for types without kernels.
macro_rules! by_element {
    ($dtype:expr, $name:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("{} has no kernel for {other:?}, only for f32 and f64", $name),
        }
    };
}
pub(crate) use by_element;

/// The type of a storage's numbers.
pub(crate) fn dtype(storage: &CpuStorage) -> DType {
    BackendStorage::dtype(storage)
}

/// Numbers as a storage.
pub(crate) fn stored<T: Element>(numbers: Vec<T>) -> CpuStorage {
    T::to_cpu_storage_owned(numbers)
}

/// The numbers of a contiguous storage.
pub(crate) fn numbers<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel was given a tensor that is not contiguous: {:?}", layout.shape());
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// The numbers of a contiguous storage, to be changed in place.
pub(crate) fn numbers_mut<'a, T: InPlace>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a tensor that is changed in place must be contiguous: {:?}", layout.shape());
    };
    Ok(&mut T::all_of(storage)?[start..end])
}

/// Element types whose storage can be borrowed mutably (Candle only offers the shared borrow generically).
pub(crate) trait InPlace: Element {
    /// Every number of the storage.
    fn all_of(storage: &mut CpuStorage) -> Result<&mut [Self]>;
}

impl InPlace for f32 {
    fn all_of(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F32(all) => Ok(all),
            _ => bail!("expected f32 numbers"),
        }
    }
}

impl InPlace for f64 {
    fn all_of(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F64(all) => Ok(all),
            _ => bail!("expected f64 numbers"),
        }
    }
}

/// A contiguous CPU tensor, borrowed for reading.
pub(crate) struct Borrowed<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Borrowed<'a> {
    /// Borrows `tensor`, which must be on the CPU.
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout }
    }

    /// The tensor's numbers in row-major order.
    pub(crate) fn numbers<T: Element>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => numbers(storage, self.layout),
            _ => bail!("a CPU kernel was given a tensor of another device"),
        }
    }
}
