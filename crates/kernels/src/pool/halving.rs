//! Max-pooling over 2×2 windows that neither overlap nor leave gaps: the pooling of most networks.
//!
//! Two rows of pixels yield one row of outputs, whatever plane they are of, so that vectors run along rows.

use std::mem::MaybeUninit;

use super::{PoolConfig, PoolShape};
use crate::element::Element;
use crate::simd::vectorized;

/// Whether windows are 2×2 and cover every row of every plane.
pub(super) fn suits(s: &PoolShape) -> bool {
    s.config == PoolConfig { kernel: 2, stride: 2, padding: 0 } && s.height.is_multiple_of(2)
}

/// Whether `challenger` beats `best`, which came first: where it is strictly larger, or the first NaN.
#[inline(always)]
fn wins<T: Element>(challenger: T, best: T) -> bool {
    challenger > best || (challenger.is_nan() && !best.is_nan())
}

vectorized! {
    /// Writes the maxima of pairs of rows of `width` pixels, `width / 2` for each pair.
    pub(super) fn forward<T: Element>(width: usize, x: &[T], out: &mut [MaybeUninit<T>]) {
        for (rows, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width / 2)) {
            let (upper, lower) = rows.split_at(width);
            let windows = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (out, (upper, lower)) in out.iter_mut().zip(windows) {
                // The first argument wins ties, and a NaN on either side wins.
                out.write(upper[0].larger(upper[1]).larger(lower[0].larger(lower[1])));
            }
        }
    }
}

vectorized! {
    /// Writes each window's gradient to its first maximum, and zeros elsewhere.
    pub(super) fn backward<T: Element>(width: usize, x: &[T], gradient: &[T], out: &mut [MaybeUninit<T>]) {
        let zero = MaybeUninit::new(T::ZERO);
        let planes = x.chunks_exact(2 * width).zip(gradient.chunks_exact(width / 2));
        for ((x, gradient), out) in planes.zip(out.chunks_exact_mut(2 * width)) {
            let ((upper, lower), (out_upper, out_lower)) = (x.split_at(width), out.split_at_mut(width));
            let inputs = upper.chunks_exact(2).zip(lower.chunks_exact(2)).zip(gradient);
            let outputs = out_upper.chunks_exact_mut(2).zip(out_lower.chunks_exact_mut(2));
            for (((upper, lower), &gradient), (out_upper, out_lower)) in inputs.zip(outputs) {
                let second = wins(upper[1], upper[0]);
                let best = if second { upper[1] } else { upper[0] };
                let third = wins(lower[0], best);
                let best = if third { lower[0] } else { best };
                let fourth = wins(lower[1], best);
                let to = |wins: bool| MaybeUninit::new(if wins { gradient } else { T::ZERO });
                out_upper[0] = to(!second & !third & !fourth);
                out_upper[1] = to(second & !third & !fourth);
                out_lower[0] = to(third & !fourth);
                out_lower[1] = to(fourth);
            }
            if !width.is_multiple_of(2) {
                // No window reads the last pixel of a row.
                (out_upper[width - 1], out_lower[width - 1]) = (zero, zero);
            }
        }
    }
}
