//! The differentiable convolution.

use candle_core::{Result, Tensor};

use super::gradients;
use super::passes::Passes;
use super::shape::ConvShape;
use super::weight::Weight;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, by_element};
#[cfg(feature = "cuda")]
use crate::epilogue::Epilogue;
use crate::epilogue::{Activation, Finish};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::precision::Precision;

/// Convolution of contiguous tensors, all of which may be tracked.
pub(super) fn apply(
    shape: ConvShape,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let precision = Precision::current();
    let operation = Conv2d {
        precision,
        shape,
        // Each is read for the other's gradient only.
        x: weight.track_op().then(|| x.detach()),
        weight: x.track_op().then(|| weight.detach()),
        activation,
    };
    let arguments: Vec<&Tensor> = [x, weight].into_iter().chain(bias).collect();
    by_device!(x, "conv2d",
        cpu => by_element!(x.dtype(), "conv2d", T => {
            let y = {
                let (x, weight, bias) = (Borrowed::of(x), Borrowed::of(weight), bias.map(Borrowed::of));
                let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
                <T as Passes>::forward(precision, &shape, x.numbers()?, Weight::passing(weight.numbers()?), Finish { bias, residual: None, activation })
            };
            record(&arguments, y, shape.out_dims(), operation)
        }),
        cuda => {
            let y = cuda::conv::forward(&shape, x, weight, bias, Epilogue { residual: None, activation })?;
            record_stored(&arguments, y, shape.out_dims(), operation)
        },
    )
}

struct Conv2d {
    precision: Precision,
    shape: ConvShape,
    x: Option<Tensor>,
    weight: Option<Tensor>,
    activation: Activation,
}

impl Backward for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn reads_result(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let gradient = &arrived.before(self.activation)?;
        let dx =
            self.weight.as_ref().map(|weight| gradients::input(self.precision, &self.shape, weight, None, gradient));
        let dw = self.x.as_ref().map(|x| gradients::weight(self.precision, &self.shape, x, gradient));
        let db = match arrived.wanted {
            [_, _, true] => Some(gradients::bias(&self.shape, gradient)?),
            _ => None,
        };
        Ok(vec![dx.transpose()?, dw.transpose()?, db])
    }
}
