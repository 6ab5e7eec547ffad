//! Fully connected layers: convolutions of images with one pixel.

use candle_core::{Result, Tensor, bail};

use crate::conv::passes::Passes;
use crate::conv::{ConvShape, passes};
use crate::element::{Borrowed, by_element};
use crate::epilogue::Finish;
use crate::graph::{Arrived, Backward, record};

/// `x (N, I) · weightᵀ (I, O) + bias (O)`, where `weight` is (O, I).
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((rows, inputs), (outputs, weight_inputs)) = (x.dims2()?, weight.dims2()?);
    if inputs != weight_inputs || bias.is_some_and(|bias| bias.dims() != [outputs]) {
        bail!(
            "linear: input {:?}, weight {:?}, bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.map(Tensor::shape)
        );
    }
    if !x.device().is_cpu() {
        let y = x.matmul(&weight.t()?)?;
        return bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias));
    }
    let shape = ConvShape::of_pixels(rows, inputs, outputs);
    let (x, weight, bias) = (x.contiguous()?, weight.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let operation = Linear {
        shape,
        // Each is read for the other's gradient only.
        x: weight.track_op().then(|| x.detach()),
        weight: x.track_op().then(|| weight.detach()),
    };
    by_element!(x.dtype(), "linear", T => {
        let y = {
            let (x, weight, bias) = (Borrowed::of(&x), Borrowed::of(&weight), bias.as_ref().map(Borrowed::of));
            let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
            <T as Passes>::forward(&shape, x.numbers()?, weight.numbers()?, Finish { bias, ..Finish::NONE })
        };
        let arguments: Vec<&Tensor> = [&x, &weight].into_iter().chain(&bias).collect();
        record(&arguments, y, (rows, outputs), operation)
    })
}

struct Linear {
    shape: ConvShape,
    x: Option<Tensor>,
    weight: Option<Tensor>,
}

impl Backward for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let (s, gradient) = (&self.shape, &arrived.gradient);
        let dx = self
            .weight
            .as_ref()
            .map(|weight| passes::input_gradient(s, weight, gradient)?.reshape((s.images, s.in_channels)));
        let dw =
            self.x.as_ref().map(|x| passes::weight_gradient(s, x, gradient)?.reshape((s.out_channels, s.in_channels)));
        let db = match arrived.wanted {
            [_, _, true] => Some(passes::bias_gradient(s, gradient)?),
            _ => None,
        };
        Ok(vec![dx.transpose()?, dw.transpose()?, db])
    }
}
