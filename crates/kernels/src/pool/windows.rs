//! Pooling through Candle's own operations, for devices without kernels of ours: one shifted copy of the image per tap.
//!
//! Candle's own pooling will not do: its max-pool gradient is wrong on ties and by a factor, and it has no padding.

use candle_core::{Result, Tensor};

use super::PoolShape;

/// Max-pooling; a later tap only wins where it is strictly larger, so the gradient goes to the first maximum. A NaN counts as
/// the largest number.
pub(super) fn max(x: &Tensor, s: &PoolShape) -> Result<Tensor> {
    let taps = taps(&padded(x, s, f64::NEG_INFINITY)?, s)?;
    let (first, rest) = taps.split_first().expect("a window has at least one tap");
    rest.iter().try_fold(first.clone(), |best, tap| {
        let stays = (tap.le(&best)? + best.ne(&best)?)?;
        stays.where_cond(&best, tap)
    })
}

/// Average-pooling, padding included.
pub(super) fn mean(x: &Tensor, s: &PoolShape) -> Result<Tensor> {
    let taps = taps(&padded(x, s, 0.0)?, s)?;
    let (first, rest) = taps.split_first().expect("a window has at least one tap");
    let sum = rest.iter().try_fold(first.clone(), |sum, tap| sum + tap)?;
    sum / taps.len() as f64
}

/// The image with `padding` pixels of `value` around it.
fn padded(x: &Tensor, s: &PoolShape, value: f64) -> Result<Tensor> {
    let padding = s.config.padding;
    if padding == 0 {
        return Ok(x.clone());
    }
    let column = Tensor::full(value, (s.images, s.channels, s.height, padding), x.device())?.to_dtype(x.dtype())?;
    let wide = Tensor::cat(&[&column, x, &column], 3)?;
    let row = Tensor::full(value, (s.images, s.channels, padding, s.width + 2 * padding), x.device())?;
    let row = row.to_dtype(x.dtype())?;
    Tensor::cat(&[&row, &wide, &row], 2)
}

/// For each tap of the window, in row-major order, the (N, C, H', W') pixels that it reads.
fn taps(x: &Tensor, s: &PoolShape) -> Result<Vec<Tensor>> {
    let pick = |tap: usize, outputs: usize| -> Result<Tensor> {
        let first = tap as u32;
        Tensor::from_iter((0..outputs as u32).map(|o| o * s.config.stride as u32 + first), x.device())
    };
    let mut taps = Vec::with_capacity(s.config.kernel * s.config.kernel);
    for ky in 0..s.config.kernel {
        let rows = x.index_select(&pick(ky, s.out_height())?, 2)?;
        for kx in 0..s.config.kernel {
            taps.push(rows.index_select(&pick(kx, s.out_width())?, 3)?);
        }
    }
    Ok(taps)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::pool::{PoolConfig, avg_pool2d, max_pool2d};

    fn with_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> (Vec<f64>, Vec<f64>) {
        let x = Var::from_tensor(x).unwrap();
        let y = f(x.as_tensor()).unwrap();
        let gradient = y.sqr().unwrap().sum_all().unwrap().backward().unwrap().remove(&x).unwrap();
        (y.flatten_all().unwrap().to_vec1().unwrap(), gradient.flatten_all().unwrap().to_vec1().unwrap())
    }

    #[test]
    fn composed_pooling_agrees_with_the_kernels_even_on_ties() {
        // Small whole numbers: many ties.
        let numbers: Vec<f64> = (0..2 * 3 * 7 * 6).map(|i| f64::from((i * 7919) % 5) - 2.0).collect();
        let x = Tensor::from_vec(numbers, (2, 3, 7, 6), &Device::Cpu).unwrap();
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (1, 1, 0), (2, 3, 1)] {
            let config = PoolConfig { kernel, stride, padding };
            let s = PoolShape::new(&x, config).unwrap();
            assert_eq!(with_gradient(&x, |x| max(x, &s)), with_gradient(&x, |x| max_pool2d(x, config)));
            let (composed, ours) = (with_gradient(&x, |x| mean(x, &s)), with_gradient(&x, |x| avg_pool2d(x, config)));
            let pairs = composed.0.iter().chain(&composed.1).zip(ours.0.iter().chain(&ours.1));
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn composed_max_pooling_keeps_a_nan_wherever_it_stands_in_its_window() {
        let config = PoolConfig { kernel: 2, stride: 2, padding: 0 };
        for place in 0..4 {
            let mut numbers = [1.0, 2.0, 3.0, 4.0];
            numbers[place] = f64::NAN;
            let x = Tensor::from_slice(&numbers, (1, 1, 2, 2), &Device::Cpu).unwrap();
            let s = PoolShape::new(&x, config).unwrap();
            for ((y, gradient), which) in [
                (with_gradient(&x, |x| max(x, &s)), "composed"),
                (with_gradient(&x, |x| max_pool2d(x, config)), "kernel"),
            ] {
                assert!(y[0].is_nan(), "{which}: {y:?}");
                let reached: Vec<usize> = (0..4).filter(|&i| gradient[i] != 0.0).collect();
                assert_eq!(reached, [place], "{which}: {gradient:?}");
            }
        }
    }
}
