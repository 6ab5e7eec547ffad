//! Average-pooling.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{PoolConfig, PoolShape, windows};
use crate::element::{Borrowed, Element, by_element, dtype, numbers, stored};

/// The sum of each window over the whole window's area, padding zeros included (PyTorch's `count_include_pad = true`).
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64.
pub fn avg_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    let shape = PoolShape::new(x, config)?;
    if x.device().is_cpu() { x.contiguous()?.apply_op1(AvgPool(shape)) } else { windows::mean(x, &shape) }
}

struct AvgPool(PoolShape);

impl AvgPool {
    fn share<T: Element>(&self) -> T {
        T::from_f64(1.0 / (self.0.config.kernel * self.0.config.kernel) as f64)
    }

    fn forward<T: Element>(&self, x: &[T]) -> Vec<T> {
        let s = &self.0;
        let mut out = vec![T::ZERO; s.out_len()];
        out.par_chunks_mut(s.out_plane()).zip(x.par_chunks(s.in_plane())).for_each(|(out, x)| {
            s.for_each_window(|o, rows, columns| {
                let mut sum = T::ZERO;
                for row in rows {
                    x[row * s.width..][columns.clone()].iter().for_each(|&x| sum += x);
                }
                out[o] = sum * self.share();
            });
        });
        out
    }

    fn backward<T: Element>(&self, len: usize, gradient: &[T]) -> Vec<T> {
        let s = &self.0;
        let mut out = vec![T::ZERO; len];
        out.par_chunks_mut(s.in_plane()).zip(gradient.par_chunks(s.out_plane())).for_each(|(out, gradient)| {
            s.for_each_window(|o, rows, columns| {
                let share = gradient[o] * self.share();
                for row in rows {
                    out[row * s.width..][columns.clone()].iter_mut().for_each(|x| *x += share);
                }
            });
        });
        out
    }
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = by_element!(dtype(x), "avg_pool2d", T => {
            stored(self.forward::<T>(numbers(x, layout)?))
        });
        Ok((out, self.0.out_dims().into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let bg = Borrowed::of(&gradient);
        by_element!(x.dtype(), "avg_pool2d", T => {
            let out = self.backward::<T>(x.elem_count(), bg.numbers()?);
            Tensor::from_vec(out, x.shape(), x.device()).map(Some)
        })
    }
}
