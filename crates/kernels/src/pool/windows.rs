//! Pooling through Candle's own operations, for devices without kernels of ours: one shifted copy of the image per tap.
//!
//! Candle's own pooling will not do: its max-pool gradient is wrong on ties and by a factor, and it has no padding.

use candle_core::{Result, Tensor};

use super::PoolShape;

/// Max-pooling; a later tap only wins where it is strictly larger, so the gradient goes to the first maximum.
pub(super) fn max(x: &Tensor, s: &PoolShape) -> Result<Tensor> {
    let taps = taps(&padded(x, s, f64::NEG_INFINITY)?, s)?;
    let (first, rest) = taps.split_first().expect("a window has at least one tap");
    rest.iter().try_fold(first.clone(), |best, tap| tap.gt(&best)?.where_cond(tap, &best))
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
