//! Fully connected layers: convolutions of images with one pixel, always in f32. Reading their weights takes longer than their
//! products, so bf16 would gain little, and the logits stay as fine as the loss.

use candle_core::{Result, Tensor, bail};

use crate::conv::passes::Passes;
use crate::conv::{ConvShape, Weight, gradients, passes};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, by_element};
use crate::epilogue::Finish;
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::precision::Precision;

/// `x (N, I) · weightᵀ (I, O) + bias (O)`, where `weight` is (O, I).
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
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
    let shape = ConvShape::of_pixels(rows, inputs, outputs);
    let (x, weight, bias) = (x.contiguous()?, weight.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let operation = Linear {
        shape,
        // Each is read for the other's gradient only.
        x: weight.track_op().then(|| x.detach()),
        weight: x.track_op().then(|| weight.detach()),
    };
    let arguments: Vec<&Tensor> = [&x, &weight].into_iter().chain(&bias).collect();
    by_device!(x, "linear",
        cpu => by_element!(x.dtype(), "linear", T => {
            let y = {
                let (x, weight, bias) = (Borrowed::of(&x), Borrowed::of(&weight), bias.as_ref().map(Borrowed::of));
                let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
                <T as Passes>::forward(Precision::F32, &shape, x.numbers()?, Weight::passing(weight.numbers()?), Finish { bias, ..Finish::NONE })
            };
            record(&arguments, y, (rows, outputs), operation)
        }),
        cuda => {
            let y = cuda::linear::forward(&shape, &x, &weight, bias.as_ref())?;
            record_stored(&arguments, y, (rows, outputs), operation)
        },
    )
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
        let gradient = &arrived.gradient;
        let dx = self.weight.as_ref().map(|weight| self.input_gradient(weight, gradient)).transpose()?;
        let dw = self.x.as_ref().map(|x| self.weight_gradient(x, gradient)).transpose()?;
        let db = match arrived.wanted {
            [_, _, true] => Some(gradients::bias(&self.shape, gradient)?),
            _ => None,
        };
        Ok(vec![dx, dw, db])
    }
}

impl Linear {
    fn input_gradient(&self, weight: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        by_device!(gradient, "linear",
            cpu => passes::input_gradient(Precision::F32, s, weight, None, gradient)?.reshape((s.images, s.in_channels)),
            cuda => cuda::linear::input_gradient(weight, gradient),
        )
    }

    fn weight_gradient(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        by_device!(gradient, "linear",
            cpu => passes::weight_gradient(Precision::F32, s, x, gradient)?.reshape((s.out_channels, s.in_channels)),
            cuda => {
                passes::count_weight_gradient();
                cuda::linear::weight_gradient(x, gradient)
            },
        )
    }
}
