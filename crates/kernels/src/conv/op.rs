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
use crate::epilogue::{Activation, Epilogue, Finish};
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
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    let (precision, Epilogue { residual, activation }) = (Precision::current(), epilogue);
    let operation = Conv2d {
        precision,
        shape,
        // Each is read for the other's gradient only.
        x: weight.track_op().then(|| x.detach()),
        weight: x.track_op().then(|| weight.detach()),
        has_bias: bias.is_some(),
        activation,
    };
    let arguments: Vec<&Tensor> = [x, weight].into_iter().chain(bias).chain(residual).collect();
    by_device!(x, "conv2d",
        cpu => by_element!(x.dtype(), "conv2d", T => {
            let y = {
                let (x, weight) = (Borrowed::of(x), Borrowed::of(weight));
                let (bias, residual) = (bias.map(Borrowed::of), residual.map(Borrowed::of));
                let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
                let residual = residual.as_ref().map(|residual| residual.numbers::<T>()).transpose()?;
                let finish = Finish { bias, residual, activation };
                <T as Passes>::forward(precision, &shape, x.numbers()?, Weight::passing(weight.numbers()?), finish)
            };
            record(&arguments, y, shape.out_dims(), operation)
        }),
        cuda => {
            let y = cuda::conv::forward(&shape, x, weight, bias, epilogue)?;
            record_stored(&arguments, y, shape.out_dims(), operation)
        },
    )
}

/// The operation on (x, weight), then the bias and the residual where there are.
struct Conv2d {
    precision: Precision,
    shape: ConvShape,
    x: Option<Tensor>,
    weight: Option<Tensor>,
    has_bias: bool,
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
        let gradient = arrived.before(self.activation)?;
        let dx =
            self.weight.as_ref().map(|weight| gradients::input(self.precision, &self.shape, weight, None, &gradient));
        let dw = self.x.as_ref().map(|x| gradients::weight(self.precision, &self.shape, x, &gradient));
        let mut all = vec![dx.transpose()?, dw.transpose()?];
        if self.has_bias {
            all.push(arrived.wanted(2, || gradients::bias(&self.shape, &gradient))?);
        }
        let wants_residual = arrived.wanted.get(all.len()).is_some_and(|&wanted| wanted);
        all.push(wants_residual.then_some(gradient));
        Ok(all)
    }
}
