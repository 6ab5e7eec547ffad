//! What stands for a large tensor in Candle's graph: a single number.

use candle_core::{CpuStorage, Shape};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, DType, Result, backend::BackendStorage};

/// A token on the CPU. Its number says nothing.
pub(super) fn token() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// A token on the device of `like`.
#[cfg(feature = "cuda")]
pub(super) fn cuda_token(like: &CudaStorage) -> Result<(CudaStorage, Shape)> {
    Ok((crate::cuda::unwritten(like.device(), DType::F32, 1)?, Shape::from(1)))
}
