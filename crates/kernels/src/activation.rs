//! ReLU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::element::{Borrowed, Element, by_element, dtype, numbers, stored};

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`, of any shape; the derivative at 0 is 0, as in PyTorch.
///
/// # Errors
/// When `x` is neither f32 nor f64.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1(Relu) } else { x.relu() }
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = by_element!(dtype(x), "relu", T => {
            stored(map(numbers::<T>(x, layout)?, |x| x.larger(T::ZERO)))
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        masked(y, gradient).map(Some)
    }
}

/// `gradient` where `output` is positive, else 0.
pub(crate) fn masked(output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let gradient = gradient.contiguous()?;
    let (y, g) = (Borrowed::of(output), Borrowed::of(&gradient));
    by_element!(output.dtype(), "relu", T => {
        let masked = map_two(y.numbers::<T>()?, g.numbers::<T>()?, |y, g| if y > T::ZERO { g } else { T::ZERO });
        Tensor::from_vec(masked, output.shape(), output.device())
    })
}

/// Applies `f` to every number, in parallel.
pub(crate) fn map<T: Element>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = f(x));
    });
    out
}

/// Applies `f` to every pair of numbers, in parallel.
pub(crate) fn map_two<T: Element>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let mut out = vec![T::ZERO; a.len()];
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (a, b))| {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = f(a, b));
    });
    out
}
