//! The three passes of a convolution by element type, and how often the costliest ran.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::choice::{Algorithm, Pass, algorithm};
use super::shape::ConvShape;
#[cfg(target_arch = "x86_64")]
use super::tiles;
use super::weight::{Forms, Weight};
use super::{columns, dense, direct, few, winograd};
use crate::element::{Borrowed, Element, by_element};
use crate::epilogue::Finish;
use crate::norm::plane_sum;
use crate::output::written;
use crate::precision::Precision;
use crate::simd::Isa;

static WEIGHT_GRADIENT_PASSES: AtomicU64 = AtomicU64::new(0);

/// Weight-gradient passes (of convolutions and linear layers) run so far in this process.
///
/// An attack on a frozen network must not move this number.
pub fn weight_gradient_passes() -> u64 {
    WEIGHT_GRADIENT_PASSES.load(Relaxed)
}

/// Notes that a weight gradient was computed.
pub(crate) fn count_weight_gradient() {
    WEIGHT_GRADIENT_PASSES.fetch_add(1, Relaxed);
}

/// Number types that convolutions are computed in.
pub(crate) trait Passes: Element {
    /// `finish(conv(x, weight))`.
    fn forward(
        precision: Precision,
        s: &ConvShape,
        x: &[Self],
        weight: Weight<'_, Self>,
        finish: Finish<'_, Self>,
    ) -> Vec<Self>;
    /// Gradient of the input.
    fn input_gradient(precision: Precision, s: &ConvShape, gradient: &[Self], weight: Weight<'_, Self>) -> Vec<Self>;
    /// Gradient of the weight.
    fn weight_gradient(precision: Precision, s: &ConvShape, x: &[Self], gradient: &[Self]) -> Vec<Self>;
}

impl Passes for f32 {
    fn forward(
        precision: Precision,
        s: &ConvShape,
        x: &[f32],
        weight: Weight<'_, f32>,
        finish: Finish<'_, f32>,
    ) -> Vec<f32> {
        // SAFETY: `forward` writes the whole output.
        unsafe {
            written(s.out_len(), |out| match algorithm(precision, s, Pass::Images) {
                Algorithm::Winograd => winograd::forward(Isa::of(precision), s, x, weight, finish, out),
                Algorithm::Direct => direct::forward(Isa::of(precision), s, x, weight, finish, out),
                Algorithm::Dense => dense::forward(Isa::of(precision), s, x, weight, finish, out),
                Algorithm::Few => few::forward(Isa::of(precision), s, x, weight, finish, out),
                #[cfg(target_arch = "x86_64")]
                Algorithm::Tiles => tiles::forward(Isa::of(precision), s, x, weight, finish, out),
            })
        }
    }

    fn input_gradient(precision: Precision, s: &ConvShape, gradient: &[f32], weight: Weight<'_, f32>) -> Vec<f32> {
        // SAFETY: `input_gradient` writes the whole output.
        unsafe {
            written(s.in_len(), |out| match algorithm(precision, s, Pass::Images) {
                Algorithm::Winograd => winograd::input_gradient(Isa::of(precision), s, gradient, weight, out),
                Algorithm::Direct => direct::input_gradient(Isa::of(precision), s, gradient, weight, out),
                Algorithm::Dense => dense::input_gradient(Isa::of(precision), s, gradient, weight, out),
                Algorithm::Few => few::input_gradient(Isa::of(precision), s, gradient, weight, out),
                #[cfg(target_arch = "x86_64")]
                Algorithm::Tiles => tiles::input_gradient(Isa::of(precision), s, gradient, weight, out),
            })
        }
    }

    fn weight_gradient(precision: Precision, s: &ConvShape, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        // SAFETY: `weight_gradient` writes the whole output.
        unsafe {
            written(s.weight_len(), |out| match algorithm(precision, s, Pass::WeightGradient) {
                Algorithm::Winograd => winograd::weight_gradient(Isa::of(precision), s, x, gradient, out),
                Algorithm::Direct => direct::weight_gradient(Isa::of(precision), s, x, gradient, out),
                Algorithm::Dense => dense::weight_gradient(Isa::of(precision), s, x, gradient, out),
                Algorithm::Few => few::weight_gradient(Isa::of(precision), s, x, gradient, out),
                #[cfg(target_arch = "x86_64")]
                Algorithm::Tiles => tiles::weight_gradient(Isa::of(precision), s, x, gradient, out),
            })
        }
    }
}

impl Passes for f64 {
    fn forward(_: Precision, s: &ConvShape, x: &[f64], weight: Weight<'_, f64>, finish: Finish<'_, f64>) -> Vec<f64> {
        columns::forward(s, x, weight.numbers, finish)
    }

    fn input_gradient(_: Precision, s: &ConvShape, gradient: &[f64], weight: Weight<'_, f64>) -> Vec<f64> {
        columns::input_gradient(s, gradient, weight.numbers)
    }

    fn weight_gradient(_: Precision, s: &ConvShape, x: &[f64], gradient: &[f64]) -> Vec<f64> {
        columns::weight_gradient(s, x, gradient)
    }
}

/// Gradient of the input; `gradient` must be contiguous. `forms` is the weight's, where it has a place for them.
pub(crate) fn input_gradient(
    precision: Precision,
    s: &ConvShape,
    weight: &Tensor,
    forms: Option<&Forms>,
    gradient: &Tensor,
) -> Result<Tensor> {
    let (w, g) = (Borrowed::of(weight), Borrowed::of(gradient));
    by_element!(gradient.dtype(), "conv2d", T => {
        let out = <T as Passes>::input_gradient(precision, s, g.numbers()?, Weight::new(w.numbers()?, forms));
        Tensor::from_vec(out, (s.images, s.in_channels, s.height, s.width), gradient.device())
    })
}

/// Gradient of the weight; both tensors must be contiguous.
pub(crate) fn weight_gradient(precision: Precision, s: &ConvShape, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    count_weight_gradient();
    let (x, g) = (Borrowed::of(x), Borrowed::of(gradient));
    by_element!(gradient.dtype(), "conv2d", T => {
        let out = <T as Passes>::weight_gradient(precision, s, x.numbers()?, g.numbers()?);
        Tensor::from_vec(out, (s.out_channels, s.in_channels, s.kernel, s.kernel), gradient.device())
    })
}

/// Gradient of the bias.
pub(crate) fn bias_gradient(s: &ConvShape, gradient: &Tensor) -> Result<Tensor> {
    let g = Borrowed::of(gradient);
    by_element!(gradient.dtype(), "conv2d", T => {
        let out = summed_by_channel::<T>(s.out_channels, s.out_plane(), g.numbers()?);
        Tensor::from_vec(out, s.out_channels, gradient.device())
    })
}

/// The sum of each channel's planes, image after image in f64.
fn summed_by_channel<T: Element>(channels: usize, plane: usize, gradient: &[T]) -> Vec<T> {
    let sum_of = |channel: usize| {
        let planes = gradient.chunks_exact(plane).skip(channel).step_by(channels);
        T::from_f64(planes.map(plane_sum).sum())
    };
    (0..channels).into_par_iter().map(sum_of).collect()
}
