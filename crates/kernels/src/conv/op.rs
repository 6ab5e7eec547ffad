//! The differentiable convolution.

use candle_core::{Result, Tensor};

use super::passes::{self, Passes};
use super::shape::ConvShape;
use crate::element::{Borrowed, by_element};
use crate::epilogue::Finish;
use crate::graph::{Arrived, Backward, record};

/// Convolution of contiguous tensors, all of which may be tracked.
pub(super) fn apply(shape: ConvShape, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let operation = Conv2d {
        shape,
        // Each is read for the other's gradient only.
        x: weight.track_op().then(|| x.detach()),
        weight: x.track_op().then(|| weight.detach()),
    };
    by_element!(x.dtype(), "conv2d", T => {
        let y = {
            let (x, weight, bias) = (Borrowed::of(x), Borrowed::of(weight), bias.map(Borrowed::of));
            let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
            <T as Passes>::forward(&shape, x.numbers()?, weight.numbers()?, Finish { bias, ..Finish::NONE })
        };
        let arguments: Vec<&Tensor> = [x, weight].into_iter().chain(bias).collect();
        record(&arguments, y, shape.out_dims(), operation)
    })
}

struct Conv2d {
    shape: ConvShape,
    x: Option<Tensor>,
    weight: Option<Tensor>,
}

impl Backward for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let gradient = &arrived.gradient;
        let dx = self.weight.as_ref().map(|weight| passes::input_gradient(&self.shape, weight, gradient));
        let dw = self.x.as_ref().map(|x| passes::weight_gradient(&self.shape, x, gradient));
        let db = match arrived.wanted {
            [_, _, true] => Some(passes::bias_gradient(&self.shape, gradient)?),
            _ => None,
        };
        Ok(vec![dx.transpose()?, dw.transpose()?, db])
    }
}
