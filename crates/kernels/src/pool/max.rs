//! Max-pooling.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{PoolConfig, PoolShape, halving, overlapping};
#[cfg(feature = "cuda")]
use crate::activation::relu;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
use crate::epilogue::Activation;
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::output::{cleared, written};

/// The maximum of each window; padding never wins. The whole gradient goes to a window's first maximum in row-major order,
/// and NaN counts as the largest number, both as in PyTorch.
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn max_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    pool(x, config, Activation::Identity)
}

/// `max_pool2d(relu(x))`, without passes over the image of its own for the ReLU. Where a window has no pixel above 0, neither has
/// the gradient.
///
/// # Errors
/// As [`max_pool2d`].
pub fn relu_max_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    by_device!(x, "relu_max_pool2d",
        cpu => pool(x, config, Activation::Relu),
        cuda => max_pool2d(&relu(x)?, config),
    )
}

fn pool(x: &Tensor, config: PoolConfig, activation: Activation) -> Result<Tensor> {
    let shape = PoolShape::new(x, config)?;
    let x = x.contiguous()?;
    let operation = MaxPool { shape, activation, x: x.detach() };
    by_device!(x, "max_pool2d",
        cpu => by_element!(x.dtype(), "max_pool2d", T => {
            let y = forward(&shape, activation, Borrowed::of(&x).numbers::<T>()?);
            record(&[&x], y, shape.out_dims(), operation)
        }),
        cuda => record_stored(&[&x], cuda::pool::max(&shape, &x)?, shape.out_dims(), operation),
    )
}

struct MaxPool {
    shape: PoolShape,
    /// Of the input, before its maxima are taken.
    activation: Activation,
    x: Tensor,
}

/// Whether `challenger` beats `best`, which came first: where it is strictly larger, or the first NaN.
#[inline(always)]
pub(super) fn wins<T: Element>(challenger: T, best: T) -> bool {
    (challenger > best) | (challenger.is_nan() & !best.is_nan())
}

/// Index of the first maximum in a window of `plane`.
pub(super) fn first_maximum<T: Element>(
    plane: &[T],
    width: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> usize {
    let mut best = rows.start * width + columns.start;
    for row in rows {
        for i in row * width + columns.start..row * width + columns.end {
            if wins(plane[i], plane[best]) {
                best = i;
            }
        }
    }
    best
}

/// Planes that one task pools: planes of the last layers are tiny.
fn planes_per_task(s: &PoolShape) -> usize {
    const NUMBERS: usize = 1 << 14;
    NUMBERS.div_ceil(s.in_plane())
}

fn forward<T: Element>(s: &PoolShape, activation: Activation, x: &[T]) -> Vec<T> {
    let (planes, relu) = (planes_per_task(s), activation == Activation::Relu);
    let write = |out: &mut [MaybeUninit<T>]| {
        let tasks = out.par_chunks_mut(planes * s.out_plane()).zip(x.par_chunks(planes * s.in_plane()));
        tasks.for_each(|(out, x)| forward_planes(s, relu, x, out));
    };
    // SAFETY: the tasks cover the output, and each writes all of its part.
    unsafe { written(s.out_len(), write) }
}

/// Writes the maxima of some planes; with `relu`, 0 where all of a window are below.
fn forward_planes<T: Element>(s: &PoolShape, relu: bool, x: &[T], out: &mut [MaybeUninit<T>]) {
    if halving::suits(s) {
        return halving::forward(s.width, relu, x, out);
    }
    for (out, x) in out.chunks_exact_mut(s.out_plane()).zip(x.chunks_exact(s.in_plane())) {
        if overlapping::suits(s) {
            overlapping::forward(s, relu, x, out);
            continue;
        }
        s.for_each_window(|o, rows, columns| {
            let largest = x[first_maximum(x, s.width, rows, columns)];
            out[o].write(if relu { largest.larger(T::ZERO) } else { largest });
        });
    }
}

fn backward<T: Element>(s: &PoolShape, activation: Activation, x: &[T], gradient: &[T]) -> Vec<T> {
    let (planes, relu) = (planes_per_task(s), activation == Activation::Relu);
    let write = |out: &mut [MaybeUninit<T>]| {
        let inputs = x.par_chunks(planes * s.in_plane()).zip(gradient.par_chunks(planes * s.out_plane()));
        let tasks = out.par_chunks_mut(planes * s.in_plane()).zip(inputs);
        tasks.for_each(|(out, (x, gradient))| backward_planes(s, relu, x, gradient, out));
    };
    // SAFETY: the tasks cover the input, and each writes all of its part.
    unsafe { written(x.len(), write) }
}

/// Writes the gradients of some planes; with `relu`, of windows alone that have a pixel above 0.
fn backward_planes<T: Element>(s: &PoolShape, relu: bool, x: &[T], gradient: &[T], out: &mut [MaybeUninit<T>]) {
    if halving::suits(s) {
        return halving::backward(s.width, relu, x, gradient, out);
    }
    let planes = x.chunks_exact(s.in_plane()).zip(gradient.chunks_exact(s.out_plane()));
    for (out, (x, gradient)) in out.chunks_exact_mut(s.in_plane()).zip(planes) {
        if overlapping::suits(s) {
            overlapping::backward(s, relu, x, gradient, out);
            continue;
        }
        let out = cleared(out);
        s.for_each_window(|o, rows, columns| {
            let first = first_maximum(x, s.width, rows, columns);
            if !(relu && x[first] <= T::ZERO) {
                out[first] += gradient[o];
            }
        });
    }
}

impl Backward for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let dx = by_device!(self.x, "max_pool2d",
            cpu => {
                let (x, gradient) = (Borrowed::of(&self.x), Borrowed::of(&arrived.gradient));
                by_element!(self.x.dtype(), "max_pool2d", T => {
                    let dx = backward::<T>(&self.shape, self.activation, x.numbers()?, gradient.numbers()?);
                    Tensor::from_vec(dx, self.x.shape(), self.x.device())
                })
            },
            cuda => cuda::pool::max_gradient(&self.shape, &self.x, &arrived.gradient),
        );
        Ok(vec![Some(dx?)])
    }
}
