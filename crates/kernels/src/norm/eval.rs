//! Batch-norm with given statistics: one line per channel.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{NormShape, per_channel};
use crate::element::{Borrowed, Element, by_element, dtype, numbers, stored};
use crate::epilogue::{Activation, Epilogue, before_activation};

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
            let mut out = vec![T::ZERO; numbers_of_x.len()];
            apply_lines(&self.shape, &lines, self.activation, numbers_of_x, residual, &mut out);
            stored(out)
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

/// `out = activation(a * x + b + residual)` with each channel's (a, b).
pub(super) fn apply_lines<T: Element>(
    s: &NormShape,
    lines: &[(T, T)],
    activation: Activation,
    x: &[T],
    residual: Option<&[T]>,
    out: &mut [T],
) {
    out.par_chunks_mut(s.plane).enumerate().for_each(|(plane, out)| {
        let (a, b) = lines[plane % s.channels];
        let here = plane * s.plane;
        out.iter_mut().zip(&x[here..]).for_each(|(y, &x)| *y = a * x + b);
        if let Some(residual) = residual {
            out.iter_mut().zip(&residual[here..]).for_each(|(y, &r)| *y += r);
        }
        if activation == Activation::Relu {
            out.iter_mut().for_each(|y| *y = y.larger(T::ZERO));
        }
    });
}

fn scaled<T: Element>(s: &NormShape, lines: &[T], gradient: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; gradient.len()];
    out.par_chunks_mut(s.plane).enumerate().for_each(|(plane, out)| {
        let scale = lines[plane % s.channels];
        out.iter_mut().zip(&gradient[plane * s.plane..]).for_each(|(out, &g)| *out = scale * g);
    });
    out
}

/// Sums of gradient times x (for the slopes), then of the gradient (for the intercepts).
fn line_gradients<T: Element>(s: &NormShape, x: &[T], gradient: &[T]) -> Vec<T> {
    let sums = |c: usize| {
        let numbers = (0..s.images).flat_map(|n| s.offset(n, c)..s.offset(n, c) + s.plane);
        numbers.fold((0.0, 0.0), |(products, gradients), i| {
            let g = gradient[i].to_f64();
            (products + g * x[i].to_f64(), gradients + g)
        })
    };
    let sums: Vec<(f64, f64)> = (0..s.channels).into_par_iter().map(sums).collect();
    let slopes = sums.iter().map(|&(products, _)| T::from_f64(products));
    slopes.chain(sums.iter().map(|&(_, gradients)| T::from_f64(gradients))).collect()
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
