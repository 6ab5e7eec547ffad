//! Dropout by masks that are computed, not stored.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::output::written;

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;
/// The increment of SplitMix64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Each number of `x`, of any shape, becomes 0 with probability `share` and is divided by `1 - share` otherwise (PyTorch's
/// dropout in train mode).
///
/// Which ones become 0 depends on `key` and their positions alone: number i does where the i-th output of SplitMix64 (Steele et
/// al. 2014) from the state `key` is below `share`, as a fraction of 2^64.
///
/// # Errors
/// When `share` is not in [0, 1), or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn dropout(x: &Tensor, share: f64, key: u64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&share) {
        bail!("dropout: a share of {share} is not in [0, 1)");
    }
    let mask = Mask { limit: (share * 2f64.powi(64)) as u64, scale: 1.0 / (1.0 - share), key };
    let x = x.contiguous()?;
    by_device!(x, "dropout",
        cpu => by_element!(x.dtype(), "dropout", T => {
            let y = mask.applied(Borrowed::of(&x).numbers::<T>()?);
            record(&[&x], y, x.shape(), mask)
        }),
        cuda => record_stored(&[&x], cuda::dropout::dropout(mask, &x)?, x.shape(), mask),
    )
}

/// What dropout multiplies by; the same on every device.
#[derive(Clone, Copy)]
pub(crate) struct Mask {
    /// Below which a random number means 0.
    pub(crate) limit: u64,
    /// What is kept is multiplied by this.
    pub(crate) scale: f64,
    /// Where SplitMix64 begins.
    pub(crate) key: u64,
}

impl Mask {
    fn keeps(&self, position: usize) -> bool {
        let mut z = self.key.wrapping_add((position as u64 + 1).wrapping_mul(GAMMA));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31) >= self.limit
    }

    fn applied<T: Element>(&self, x: &[T]) -> Vec<T> {
        let scale = T::from_f64(self.scale);
        let write = |out: &mut [MaybeUninit<T>]| {
            out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (out, x))| {
                for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
                    out.write(if self.keeps(chunk * CHUNK + i) { x * scale } else { T::ZERO });
                }
            });
        };
        // SAFETY: the chunks cover the output.
        unsafe { written(x.len(), write) }
    }
}

impl Backward for Mask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let gradient = &arrived.gradient;
        let dx = by_device!(gradient, "dropout",
            cpu => by_element!(gradient.dtype(), "dropout", T => {
                let dx = self.applied(Borrowed::of(gradient).numbers::<T>()?);
                Tensor::from_vec(dx, gradient.shape(), gradient.device())?
            }),
            cuda => cuda::dropout::input_gradient(*self, gradient)?,
        );
        Ok(vec![Some(dx)])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    /// The seed of the published test vector of splitmix64.c.
    const KEY: u64 = 1_234_567;

    #[test]
    fn what_is_kept_is_scaled_and_so_is_its_gradient() {
        // The vector's numbers, as shares of 2^64: 0.350, 0.174, 0.532, 0.249, 0.890.
        let x = Var::new(&[[1f64], [2.0], [3.0], [4.0], [5.0]], &Device::Cpu).unwrap();
        let y = dropout(x.as_tensor(), 0.5, KEY).unwrap();
        let gradient = y.sqr().unwrap().sum_all().unwrap().backward().unwrap().remove(&x).unwrap();
        let [y, gradient] = [y, gradient].map(|t| t.flatten_all().unwrap().to_vec1::<f64>().unwrap());
        assert_eq!((y, gradient), (vec![0.0, 0.0, 6.0, 0.0, 10.0], vec![0.0, 0.0, 24.0, 0.0, 40.0]));
    }

    #[test]
    fn an_infinity_that_is_dropped_is_gone() {
        let x = Tensor::full(f64::INFINITY, 5, &Device::Cpu).unwrap();
        let y: Vec<f64> = dropout(&x, 0.5, KEY).unwrap().to_vec1().unwrap();
        assert_eq!(y, [0.0, 0.0, f64::INFINITY, 0.0, f64::INFINITY]);
    }

    #[test]
    fn a_share_of_numbers_becomes_zero_whatever_the_threads_and_the_length() {
        let ones = |count: usize| Tensor::ones(count, DType::F32, &Device::Cpu).unwrap();
        let long: Vec<f32> = dropout(&ones(100_000), 0.3, KEY).unwrap().to_vec1().unwrap();
        let zeros = long.iter().filter(|&&y| y == 0.0).count();
        // Five standard deviations of 100 000 draws.
        assert!(zeros.abs_diff(30_000) < 5 * 145, "{zeros}");
        let short: Vec<f32> = dropout(&ones(20_001), 0.3, KEY).unwrap().to_vec1().unwrap();
        assert_eq!(short, long[..20_001]);
    }

    #[test]
    fn a_share_outside_of_its_range_is_refused() {
        let x = Tensor::ones(1, DType::F64, &Device::Cpu).unwrap();
        assert!([-0.1, 1.0, f64::NAN].iter().all(|&share| dropout(&x, share, KEY).is_err()));
        assert_eq!(dropout(&x, 0.0, KEY).unwrap().to_vec1::<f64>().unwrap(), [1.0]);
    }
}
