//! Max-pooling over 2×2 windows that neither overlap nor leave gaps: the pooling of most networks.
//!
//! Two rows of pixels yield one row of outputs, whatever plane they are of, so that vectors run along rows.

use std::mem::MaybeUninit;

use super::max::wins;
use super::{PoolConfig, PoolShape};
use crate::element::Element;
use crate::simd::vectorized;

/// Whether windows are 2×2 and cover every row of every plane.
pub(super) fn suits(s: &PoolShape) -> bool {
    s.config == PoolConfig { kernel: 2, stride: 2, padding: 0 } && s.height.is_multiple_of(2)
}

vectorized! {
    /// Writes the maxima of pairs of rows of `width` pixels, `width / 2` for each pair; with `relu`, 0 where all are below.
    pub(super) fn forward<T: Element>(width: usize, relu: bool, x: &[T], out: &mut [MaybeUninit<T>]) {
        for (rows, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width / 2)) {
            let (upper, lower) = rows.split_at(width);
            let windows = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (out, (upper, lower)) in out.iter_mut().zip(windows) {
                // The first argument wins ties, and a NaN on either side wins.
                let largest = upper[0].larger(upper[1]).larger(lower[0].larger(lower[1]));
                out.write(if relu { largest.larger(T::ZERO) } else { largest });
            }
        }
    }
}

vectorized! {
    /// Writes each window's gradient to its first maximum, and zeros elsewhere; with `relu`, zeros alone where no pixel is above 0.
    pub(super) fn backward<T: Element>(
        width: usize,
        relu: bool,
        x: &[T],
        gradient: &[T],
        out: &mut [MaybeUninit<T>],
    ) {
        let rows = x.chunks_exact(2 * width).zip(gradient.chunks_exact(width / 2));
        for ((x, gradient), out) in rows.zip(out.chunks_exact_mut(2 * width)) {
            let ((upper, lower), (out_upper, out_lower)) = (x.split_at(width), out.split_at_mut(width));
            let pixels = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            let outs = out_upper.chunks_exact_mut(2).zip(out_lower.chunks_exact_mut(2));
            for (((upper, lower), &gradient), (out_upper, out_lower)) in pixels.zip(gradient).zip(outs) {
                // The winner of each row, then the row: in this order the first of equals wins.
                let (in_upper, in_lower) = (wins(upper[1], upper[0]), wins(lower[1], lower[0]));
                let best_of = |row: &[T], second: bool| if second { row[1] } else { row[0] };
                let (upper, lower) = (best_of(upper, in_upper), best_of(lower, in_lower));
                let below = wins(lower, upper);
                let best = if below { lower } else { upper };
                let gradient = if relu & (best <= T::ZERO) { T::ZERO } else { gradient };
                let given = |here: bool| MaybeUninit::new(if here { gradient } else { T::ZERO });
                out_upper[0] = given(!below & !in_upper);
                out_upper[1] = given(!below & in_upper);
                out_lower[0] = given(below & !in_lower);
                out_lower[1] = given(below & in_lower);
            }
            if !width.is_multiple_of(2) {
                // No window reads the last pixel of a row.
                let zero = MaybeUninit::new(T::ZERO);
                (out_upper[width - 1], out_lower[width - 1]) = (zero, zero);
            }
        }
    }
}
