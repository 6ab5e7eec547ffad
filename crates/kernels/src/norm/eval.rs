//! Batch-norm with given statistics: one line per channel.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::sums::{self, Line};
use super::{NormShape, per_channel};
use crate::element::{Borrowed, Element, by_element, dtype, numbers, stored};
use crate::epilogue::{Activation, Epilogue, before_activation};
use crate::output::written;

/// `activation(gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta + residual)` for `x` (N, C, …).
///
/// Differentiable in everything but the running statistics.
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64.
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
    if !x.device().is_cpu() {
        let y = x.broadcast_mul(&per_channel(&scale, x)?)?.broadcast_add(&per_channel(&shift, x)?)?;
        return epilogue.compose(y);
    }
    let op = Lines { shape, activation: epilogue.activation };
    let (x, lines) = (x.contiguous()?, Tensor::stack(&[scale, shift], 0)?);
    match epilogue.residual {
        Some(residual) => x.apply_op3(&lines, &residual.contiguous()?, op),
        None => x.apply_op2(&lines, op),
    }
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

/// The operation on (x, [scale; shift]) or (x, [scale; shift], residual).
struct Lines {
    shape: NormShape,
    activation: Activation,
}

impl Lines {
    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        lines: (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let out = by_element!(dtype(x.0), "batch_norm_eval", T => {
            let (numbers_of_x, lines) = (numbers::<T>(x.0, x.1)?, numbers::<T>(lines.0, lines.1)?);
            let residual = residual.map(|(storage, layout)| numbers::<T>(storage, layout)).transpose()?;
            let (scale, shift) = lines.split_at(self.shape.channels);
            let lines: Vec<(T, T)> = scale.iter().copied().zip(shift.iter().copied()).collect();
            stored(apply_lines(&self.shape, &lines, self.activation, numbers_of_x, residual))
        });
        Ok((out, x.1.shape().clone()))
    }

    /// Gradients of x and the lines, from the gradient before the activation.
    fn backward(&self, x: &Tensor, lines: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (bx, bl, bg) = (Borrowed::of(x), Borrowed::of(lines), Borrowed::of(gradient));
        by_element!(x.dtype(), "batch_norm_eval", T => {
            let (nx, nl, ng) = (bx.numbers::<T>()?, bl.numbers::<T>()?, bg.numbers::<T>()?);
            let dx = x.track_op().then(|| Tensor::from_vec(scaled(&self.shape, nl, ng), x.shape(), x.device()));
            let dl = lines.track_op().then(|| {
                Tensor::from_vec(line_gradients(&self.shape, nx, ng), lines.shape(), x.device())
            });
            Ok((dx.transpose()?, dl.transpose()?))
        })
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

fn scaled<T: Element>(s: &NormShape, lines: &[T], gradient: &[T]) -> Vec<T> {
    let slopes: Vec<(T, T)> = lines[..s.channels].iter().map(|&slope| (slope, T::ZERO)).collect();
    apply_lines(s, &slopes, Activation::Identity, gradient, None)
}

/// Sums of gradient times x (for the slopes), then of the gradient (for the intercepts).
fn line_gradients<T: Element>(s: &NormShape, x: &[T], gradient: &[T]) -> Vec<T> {
    let sums_of = |c: usize| {
        s.planes(c).fold((0.0, 0.0), |(sums, products), here| {
            let here = here..here + s.plane;
            let (sum, product) = sums::gradient_sums(&gradient[here.clone()], &x[here], T::ZERO);
            (sums + sum, products + product)
        })
    };
    let sums: Vec<(f64, f64)> = (0..s.channels).into_par_iter().map(sums_of).collect();
    let slopes = sums.iter().map(|&(_, products)| T::from_f64(products));
    slopes.chain(sums.iter().map(|&(sum, _)| T::from_f64(sum))).collect()
}

impl CustomOp2 for Lines {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, p: &CpuStorage, pl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (p, pl), None)
    }

    fn bwd(&self, x: &Tensor, p: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, p, &before_activation(self.activation, y, gradient)?)
    }
}

impl CustomOp3 for Lines {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
        r: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (p, pl), Some((r, rl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        p: &Tensor,
        r: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = before_activation(self.activation, y, gradient)?;
        let (dx, dp) = self.backward(x, p, &gradient)?;
        Ok((dx, dp, r.track_op().then_some(gradient)))
    }
}
