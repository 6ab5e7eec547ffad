//! The gradients of a convolution's arguments, on the device that the tensors lie on.

use candle_core::{Result, Tensor};

use super::passes;
use super::shape::ConvShape;
use super::weight::Forms;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::precision::Precision;

/// Gradient of the input; `gradient` must be contiguous. `forms` is the weight's, where it has a place for them.
pub(super) fn input(
    precision: Precision,
    s: &ConvShape,
    weight: &Tensor,
    forms: Option<&Forms>,
    gradient: &Tensor,
) -> Result<Tensor> {
    by_device!(gradient, "conv2d",
        cpu => passes::input_gradient(precision, s, weight, forms, gradient),
        cuda => cuda::conv::input_gradient(s, weight, gradient),
    )
}

/// Gradient of the weight; both tensors must be contiguous.
pub(super) fn weight(precision: Precision, s: &ConvShape, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    by_device!(gradient, "conv2d",
        cpu => passes::weight_gradient(precision, s, x, gradient),
        cuda => {
            passes::count_weight_gradient();
            cuda::conv::weight_gradient(s, x, gradient)
        },
    )
}

/// Gradient of the bias.
pub(crate) fn bias(s: &ConvShape, gradient: &Tensor) -> Result<Tensor> {
    by_device!(gradient, "conv2d",
        cpu => passes::bias_gradient(s, gradient),
        cuda => cuda::conv::bias_gradient(s, gradient),
    )
}
