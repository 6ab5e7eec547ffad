//! From pixels to the numbers that a network was trained on.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};

/// `(clamp(x, 0, 1) - mean) / std` per channel of `x` (N, C, H, W).
///
/// The clamp's gradient passes on the closed interval [0, 1], as PyTorch's does: an attack that starts on the border of
/// the box still sees a gradient.
///
/// # Errors
/// When `mean` and `std` do not have one number per channel, or the type is neither f32 nor f64.
pub fn normalize(x: &Tensor, mean: &[f64], std: &[f64]) -> Result<Tensor> {
    let (_, channels, height, width) = x.dims4()?;
    if mean.len() != channels || std.len() != channels {
        bail!("normalize: {} means and {} deviations for {channels} channels", mean.len(), std.len());
    }
    let x = x.contiguous()?;
    let operation = Normalize { plane: height * width, mean: mean.to_vec(), std: std.to_vec(), x: x.detach() };
    by_device!(x, "normalize",
        cpu => by_element!(x.dtype(), "normalize", T => {
            let y = operation.forward(Borrowed::of(&x).numbers::<T>()?);
            record(&[&x], y, x.shape(), operation)
        }),
        cuda => record_stored(&[&x], cuda::pixels::normalize(&x, mean, std)?, x.shape(), operation),
    )
}

struct Normalize {
    plane: usize,
    mean: Vec<f64>,
    std: Vec<f64>,
    x: Tensor,
}

impl Normalize {
    fn forward<T: Element>(&self, x: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; x.len()];
        out.par_chunks_mut(self.plane).zip(x.par_chunks(self.plane)).enumerate().for_each(|(plane, (out, x))| {
            let c = plane % self.mean.len();
            let (mean, std) = (T::from_f64(self.mean[c]), T::from_f64(self.std[c]));
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = (clamp(x) - mean) / std);
        });
        out
    }

    fn input_gradient<T: Element>(&self, x: &[T], gradient: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; x.len()];
        let inputs = x.par_chunks(self.plane).zip(gradient.par_chunks(self.plane));
        out.par_chunks_mut(self.plane).zip(inputs).enumerate().for_each(|(plane, (out, (x, gradient)))| {
            let std = T::from_f64(self.std[plane % self.std.len()]);
            for (out, (&x, &g)) in out.iter_mut().zip(x.iter().zip(gradient)) {
                *out = if x >= T::ZERO && x <= T::ONE { g / std } else { T::ZERO };
            }
        });
        out
    }
}

fn clamp<T: Element>(x: T) -> T {
    if x < T::ZERO {
        T::ZERO
    } else if x > T::ONE {
        T::ONE
    } else {
        x
    }
}

impl Backward for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let dx = by_device!(self.x, "normalize",
            cpu => {
                let (x, gradient) = (Borrowed::of(&self.x), Borrowed::of(&arrived.gradient));
                by_element!(self.x.dtype(), "normalize", T => {
                    let dx = self.input_gradient::<T>(x.numbers()?, gradient.numbers()?);
                    Tensor::from_vec(dx, self.x.shape(), self.x.device())
                })
            },
            cuda => cuda::pixels::input_gradient(&self.x, &arrived.gradient, &self.mean, &self.std),
        );
        Ok(vec![Some(dx?)])
    }
}
