//! Batch-norm with given statistics: one line per channel.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::NormShape;
use super::sums::{self, Line};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
use crate::epilogue::{Activation, Epilogue};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::output::written;

/// `activation(gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta + residual)` for `x` (N, C, …).
///
/// Differentiable in everything but the running statistics.
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    epsilon: f64,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    let shape = NormShape::new(x, &[gamma, beta, running_mean, running_var], &epilogue)?;
    let (scale, shift) = scale_and_shift(gamma, beta, running_mean, running_var, epsilon)?;
    let residual = epilogue.residual.map(Tensor::contiguous).transpose()?;
    let (x, activation) = (x.contiguous()?, epilogue.activation);
    let arguments: Vec<&Tensor> = [&x, &scale, &shift].into_iter().chain(&residual).collect();
    let operation = Lines { shape, activation, x: x.detach(), scale: scale.detach() };
    by_device!(x, "batch_norm_eval",
        cpu => by_element!(x.dtype(), "batch_norm_eval", T => {
            let y = {
                let (x, scale, shift) = (Borrowed::of(&x), Borrowed::of(&scale), Borrowed::of(&shift));
                let residual = residual.as_ref().map(Borrowed::of);
                let residual = residual.as_ref().map(|residual| residual.numbers::<T>()).transpose()?;
                let lines: Vec<(T, T)> = zip(scale.numbers()?, shift.numbers()?).collect();
                apply_lines(&shape, &lines, activation, x.numbers()?, residual)
            };
            record(&arguments, y, x.shape(), operation)
        }),
        cuda => {
            let epilogue = Epilogue { residual: residual.as_ref(), activation };
            let y = cuda::norm::line(&shape, &x, [&scale, &shift], epilogue)?;
            record_stored(&arguments, y, x.shape(), operation)
        },
    )
}

fn zip<'a, T: Element>(a: &'a [T], b: &'a [T]) -> impl Iterator<Item = (T, T)> + 'a {
    a.iter().copied().zip(b.iter().copied())
}

/// Slope and intercept of each channel's line.
pub(crate) fn scale_and_shift(
    gamma: &Tensor,
    beta: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    epsilon: f64,
) -> Result<(Tensor, Tensor)> {
    let scale = (gamma / (running_var.detach() + epsilon)?.sqrt()?)?;
    let shift = (beta - (running_mean.detach() * &scale)?)?;
    Ok((scale, shift))
}

/// The operation on (x, scale, shift) or (x, scale, shift, residual).
struct Lines {
    shape: NormShape,
    activation: Activation,
    x: Tensor,
    scale: Tensor,
}

impl Backward for Lines {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn reads_result(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let gradient = arrived.before(self.activation)?;
        let wants_residual = arrived.wanted.get(3).is_some_and(|&wanted| wanted);
        let dx = arrived.wanted(0, || self.input_gradient(&gradient))?;
        let [scale, shift] = match arrived.wanted[1] || arrived.wanted[2] {
            true => self.line_gradients(&gradient)?.map(Some),
            false => [None, None],
        };
        Ok([dx, scale, shift].into_iter().chain([wants_residual.then_some(gradient)]).collect())
    }
}

impl Lines {
    fn input_gradient(&self, gradient: &Tensor) -> Result<Tensor> {
        by_device!(gradient, "batch_norm_eval",
            cpu => {
                let (scale, g) = (Borrowed::of(&self.scale), Borrowed::of(gradient));
                by_element!(gradient.dtype(), "batch_norm_eval", T => {
                    let dx = scaled::<T>(&self.shape, scale.numbers()?, g.numbers()?);
                    Tensor::from_vec(dx, self.x.shape(), self.x.device())
                })
            },
            cuda => cuda::norm::scaled(&self.shape, &self.scale, gradient),
        )
    }

    /// Gradients of the slopes and of the intercepts.
    fn line_gradients(&self, gradient: &Tensor) -> Result<[Tensor; 2]> {
        by_device!(gradient, "batch_norm_eval",
            cpu => {
                let (x, g) = (Borrowed::of(&self.x), Borrowed::of(gradient));
                by_element!(gradient.dtype(), "batch_norm_eval", T => {
                    let (scale, shift) = line_gradients::<T>(&self.shape, x.numbers()?, g.numbers()?);
                    let vector = |v: Vec<T>| Tensor::from_vec(v, self.shape.channels, self.x.device());
                    Ok([vector(scale)?, vector(shift)?])
                })
            },
            cuda => cuda::norm::channel_sums(&self.shape, Some(&self.x), gradient),
        )
    }
}

/// `activation(a * x + b + residual)` with each channel's (a, b).
fn apply_lines<T: Element>(
    s: &NormShape,
    lines: &[(T, T)],
    activation: Activation,
    x: &[T],
    residual: Option<&[T]>,
) -> Vec<T> {
    let draw = |out: &mut [MaybeUninit<T>]| {
        out.par_chunks_mut(s.plane).enumerate().for_each(|(plane, out)| {
            let (slope, intercept) = lines[plane % s.channels];
            let here = plane * s.plane..(plane + 1) * s.plane;
            let residual = residual.map(|residual| &residual[here.clone()]);
            sums::draw(&x[here], Line { slope, intercept, residual, activation }, out);
        });
    };
    // SAFETY: the planes cover the output.
    unsafe { written(x.len(), draw) }
}

/// The gradient times each channel's slope.
fn scaled<T: Element>(s: &NormShape, scale: &[T], gradient: &[T]) -> Vec<T> {
    let slopes: Vec<(T, T)> = scale.iter().map(|&slope| (slope, T::ZERO)).collect();
    apply_lines(s, &slopes, Activation::Identity, gradient, None)
}

/// Sums of gradient times x (for the slopes), and of the gradient (for the intercepts).
fn line_gradients<T: Element>(s: &NormShape, x: &[T], gradient: &[T]) -> (Vec<T>, Vec<T>) {
    let sums_of = |c: usize| {
        let (sum, product) = s.planes(c).fold((0.0, 0.0), |(sums, products), here| {
            let here = here..here + s.plane;
            let (sum, product) = sums::gradient_sums(&gradient[here.clone()], &x[here], T::ZERO);
            (sums + sum, products + product)
        });
        (T::from_f64(product), T::from_f64(sum))
    };
    (0..s.channels).into_par_iter().map(sums_of).unzip()
}
