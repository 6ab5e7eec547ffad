//! The arithmetic of the operations on CUDA devices.
//!
//! Convolutions are cuDNN's (`cudnn`), products of matrices cuBLAS's; everything else are kernels of our own, in `.cu` files
//! beside this one (`source`), which are compiled for the device when they are first needed (`kernel`).
//!
//! All work of a device goes through its one stream, in the order in which it is asked for; memory is taken and given back in
//! that order too. So a kernel may be given the bare address of a tensor: whatever happens to the tensor afterwards happens
//! after the kernel.

pub(crate) mod activation;
mod address;
mod climb;
pub(crate) mod conv;
mod cudnn;
pub(crate) mod dropout;
pub(crate) mod finite;
mod kernel;
pub(crate) mod linear;
pub(crate) mod norm;
mod open;
pub(crate) mod pixels;
pub(crate) mod pool;
mod source;
mod turn;
pub(crate) mod update;

pub use climb::{BallStep, Shrinkage, climb_in_ball, climb_in_box};
pub use open::open;
pub use source::{KernelSource, NumberType, compile_to_ptx};

pub(crate) use address::unwritten;

use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Result, Shape, Storage, Tensor, bail};

use crate::conv::ConvShape;
use crate::norm::NormShape;

/// The CUDA device of a tensor.
fn device_of(tensor: &Tensor) -> Result<&CudaDevice> {
    match tensor.device() {
        Device::Cuda(device) => Ok(device),
        other => bail!("a CUDA kernel was given a tensor of {:?}", other.location()),
    }
}

/// A result without a place in the graph.
fn detached(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// The type of an operation's parameters and sums, for activations of type `dtype`: f32 beside bf16.
fn parameter_type(dtype: DType) -> DType {
    match dtype {
        DType::BF16 => DType::F32,
        other => other,
    }
}

/// A parameter (weight, bias, statistics) as a kernel reads it: contiguous, in the type that goes with activations `dtype`.
fn parameter(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    tensor.detach().to_dtype(parameter_type(dtype))?.contiguous()
}

/// A convolution's result as a batch-norm sees it.
fn channel_shape(s: &ConvShape) -> NormShape {
    NormShape { images: s.images, channels: s.out_channels, plane: s.out_plane() }
}
