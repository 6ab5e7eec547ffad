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

/// Windows that are worked on together.
const WINDOWS: [usize; 4] = [16, 8, 4, 1];

vectorized! {
    /// Writes each window's gradient to its first maximum, and zeros elsewhere.
    pub(super) fn backward<T: Element>(width: usize, x: &[T], gradient: &[T], out: &mut [MaybeUninit<T>]) {
        let rows = x.chunks_exact(2 * width).zip(gradient.chunks_exact(width / 2));
        for ((x, gradient), out) in rows.zip(out.chunks_exact_mut(2 * width)) {
            let ((upper, lower), (out_upper, out_lower)) = (x.split_at(width), out.split_at_mut(width));
            let mut done = 0;
            while done < gradient.len() {
                let left = gradient.len() - done;
                let (x, y, g) = (&upper[2 * done..], &lower[2 * done..], &gradient[done..]);
                let (to_x, to_y) = (&mut out_upper[2 * done..], &mut out_lower[2 * done..]);
                done += match WINDOWS.into_iter().find(|&windows| windows <= left) {
                    Some(16) => windows::<T, 16>([x, y], g, [to_x, to_y]),
                    Some(8) => windows::<T, 8>([x, y], g, [to_x, to_y]),
                    Some(4) => windows::<T, 4>([x, y], g, [to_x, to_y]),
                    _ => windows::<T, 1>([x, y], g, [to_x, to_y]),
                };
            }
            if !width.is_multiple_of(2) {
                // No window reads the last pixel of a row.
                let zero = MaybeUninit::new(T::ZERO);
                (out_upper[width - 1], out_lower[width - 1]) = (zero, zero);
            }
        }
    }
}

/// The first `N` windows of two rows, one pixel of the window after the other, so that each is a vector; returns `N`.
#[inline(always)]
fn windows<T: Element, const N: usize>(rows: [&[T]; 2], gradient: &[T], out: [&mut [MaybeUninit<T>]; 2]) -> usize {
    let pixels: [[T; N]; 4] = std::array::from_fn(|pixel| std::array::from_fn(|i| rows[pixel / 2][2 * i + pixel % 2]));
    let gradient: [T; N] = std::array::from_fn(|i| gradient[i]);
    let (mut best, mut winner) = (pixels[0], [0u32; N]);
    for (pixel, values) in pixels.iter().enumerate().skip(1) {
        for i in 0..N {
            let wins = wins(values[i], best[i]);
            best[i] = if wins { values[i] } else { best[i] };
            winner[i] = if wins { pixel as u32 } else { winner[i] };
        }
    }
    for (row, out) in out.into_iter().enumerate() {
        for i in 0..N {
            for column in 0..2 {
                let here = winner[i] == (2 * row + column) as u32;
                out[2 * i + column].write(if here { gradient[i] } else { T::ZERO });
            }
        }
    }
    N
}
