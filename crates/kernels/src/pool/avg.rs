//! Average-pooling.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::{PoolConfig, PoolShape};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};

/// The sum of each window over the whole window's area, padding zeros included (PyTorch's `count_include_pad = true`).
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn avg_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    let shape = PoolShape::new(x, config)?;
    let x = x.contiguous()?;
    let operation = AvgPool { shape, dtype: x.dtype() };
    by_device!(x, "avg_pool2d",
        cpu => by_element!(x.dtype(), "avg_pool2d", T => {
            let y = forward(&shape, Borrowed::of(&x).numbers::<T>()?);
            record(&[&x], y, shape.out_dims(), operation)
        }),
        cuda => record_stored(&[&x], cuda::pool::mean(&shape, &x)?, shape.out_dims(), operation),
    )
}

struct AvgPool {
    shape: PoolShape,
    dtype: DType,
}

/// What each pixel of a window counts for.
fn share<T: Element>(s: &PoolShape) -> T {
    T::from_f64(1.0 / (s.config.kernel * s.config.kernel) as f64)
}

fn forward<T: Element>(s: &PoolShape, x: &[T]) -> Vec<T> {
    let (mut out, share) = (vec![T::ZERO; s.out_len()], share::<T>(s));
    out.par_chunks_mut(s.out_plane()).zip(x.par_chunks(s.in_plane())).for_each(|(out, x)| {
        s.for_each_window(|o, rows, columns| {
            let mut sum = T::ZERO;
            for row in rows {
                x[row * s.width..][columns.clone()].iter().for_each(|&x| sum += x);
            }
            out[o] = sum * share;
        });
    });
    out
}

fn backward<T: Element>(s: &PoolShape, gradient: &[T]) -> Vec<T> {
    let (mut out, share) = (vec![T::ZERO; s.in_len()], share::<T>(s));
    out.par_chunks_mut(s.in_plane()).zip(gradient.par_chunks(s.out_plane())).for_each(|(out, gradient)| {
        s.for_each_window(|o, rows, columns| {
            let share = gradient[o] * share;
            for row in rows {
                out[row * s.width..][columns.clone()].iter_mut().for_each(|x| *x += share);
            }
        });
    });
    out
}

impl Backward for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let dx = by_device!(arrived.gradient, "avg_pool2d",
            cpu => {
                let gradient = Borrowed::of(&arrived.gradient);
                by_element!(self.dtype, "avg_pool2d", T => {
                    let dx = backward::<T>(&self.shape, gradient.numbers()?);
                    Tensor::from_vec(dx, self.shape.in_dims(), arrived.gradient.device())
                })
            },
            cuda => cuda::pool::mean_gradient(&self.shape, &arrived.gradient),
        );
        Ok(vec![Some(dx?)])
    }
}
