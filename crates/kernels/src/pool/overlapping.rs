//! Max-pooling over 3×3 windows two pixels apart, as at the entrance of networks for large images.
//!
//! Neighbouring windows' pixels lie two apart; so a row is split into its even and its odd pixels, and vectors run along windows.
//! Windows that the image's left and right border cut go one by one.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::max::{first_maximum, wins};
use super::{PoolConfig, PoolShape};
use crate::element::Element;
use crate::scratch;
use crate::simd::vectorized;

/// Pixels between neighbouring windows.
const STRIDE: usize = 2;

/// Whether windows are 3×3, and two pixels apart.
pub(super) fn suits(s: &PoolShape) -> bool {
    let PoolConfig { kernel, stride, padding: _ } = s.config;
    (kernel, stride) == (3, STRIDE)
}

/// Writes the plane of a plane's maxima; with `relu`, 0 where all are below.
pub(super) fn forward<T: Element>(s: &PoolShape, relu: bool, x: &[T], out: &mut [MaybeUninit<T>]) {
    let half = half_len(s);
    scratch::with(s.width + 2 * half, |memory| {
        let (largest, halves) = memory.split_at_mut(s.width);
        let (even, odd) = halves.split_at_mut(half);
        for (row, out) in out.chunks_exact_mut(s.out_width()).enumerate() {
            let rows = s.rows_of(row);
            largest.copy_from_slice(&x[rows.start * s.width..][..s.width]);
            for row in rows.skip(1) {
                take_larger(largest, &x[row * s.width..][..s.width]);
            }
            split(largest, even, odd);
            let whole = whole_windows(s);
            for column in (0..whole.start).chain(whole.end..s.out_width()) {
                let inside = s.columns_of(column);
                let largest =
                    largest[inside.start + 1..inside.end].iter().fold(largest[inside.start], |a, &b| a.larger(b));
                out[column].write(if relu { largest.larger(T::ZERO) } else { largest });
            }
            let taps = [0, 1, 2].map(|tap| tap_of(s, tap, &whole, even, odd));
            write_largest(taps, relu, &mut out[whole]);
        }
    });
}

/// Writes the plane of gradients: each window's goes to its first maximum, or with `relu` nowhere if that is not above 0.
pub(super) fn backward<T: Element>(s: &PoolShape, relu: bool, x: &[T], gradient: &[T], out: &mut [MaybeUninit<T>]) {
    let (half, windows) = (half_len(s), s.out_width());
    scratch::with(4 * half * s.height + 3 * windows, |memory| {
        let (pixels, rest) = memory.split_at_mut(2 * half * s.height);
        let (sums, rest) = rest.split_at_mut(2 * half * s.height);
        let (best, rest) = rest.split_at_mut(windows);
        let (winner, given) = rest.split_at_mut(windows);
        sums.fill(T::ZERO);
        for (row, pixels) in x.chunks_exact(s.width).zip(pixels.chunks_exact_mut(2 * half)) {
            let (even, odd) = pixels.split_at_mut(half);
            split(row, even, odd);
        }
        let whole = whole_windows(s);
        for (row, gradient) in gradient.chunks_exact(windows).enumerate() {
            let rows = s.rows_of(row);
            // In the order of the windows, in which a pixel's gradients are added.
            let one_by_one = |columns: Range<usize>, sums: &mut [T]| {
                for column in columns {
                    let first = first_maximum(x, s.width, rows.clone(), s.columns_of(column));
                    if !(relu && x[first] <= T::ZERO) {
                        let (row, column_of_pixel) = (first / s.width, first % s.width);
                        let place = row * 2 * half + column_of_pixel % STRIDE * half + column_of_pixel / STRIDE;
                        sums[place] += gradient[column];
                    }
                }
            };
            one_by_one(0..whole.start, sums);
            let (best, winner, given) =
                (&mut best[whole.clone()], &mut winner[whole.clone()], &mut given[whole.clone()]);
            for (index, row) in rows.clone().enumerate() {
                let (even, odd) = pixels[row * 2 * half..][..2 * half].split_at(half);
                let taps = [0, 1, 2].map(|tap| tap_of(s, tap, &whole, even, odd));
                challenge(3 * index, taps, best, winner);
            }
            give(relu, best, &gradient[whole.clone()], given);
            for (index, row) in rows.clone().enumerate() {
                let (even, odd) = sums[row * 2 * half..][..2 * half].split_at_mut(half);
                // A pixel between two windows is the last of the left one and the first of the right one.
                for tap in [2, 1, 0] {
                    let to = tap_of_mut(s, tap, &whole, even, odd);
                    add_where(T::from_f64((3 * index + tap) as f64), winner, given, to);
                }
            }
            one_by_one(whole.end..windows, sums);
        }
        for (sums, out) in sums.chunks_exact(2 * half).zip(out.chunks_exact_mut(s.width)) {
            let (even, odd) = sums.split_at(half);
            join(even, odd, out);
        }
    });
}

/// Room for every second pixel of a row.
fn half_len(s: &PoolShape) -> usize {
    s.width.div_ceil(STRIDE)
}

/// Windows of a row that the left and right borders leave whole.
fn whole_windows(s: &PoolShape) -> Range<usize> {
    let first = s.config.padding.div_ceil(STRIDE);
    let end = (s.width + s.config.padding).checked_sub(s.config.kernel).map_or(0, |last| last / STRIDE + 1);
    first.min(end)..end
}

/// Where column `tap` of the windows `whole` lies among the even and odd pixels of a row: which, and from where on.
fn place(s: &PoolShape, tap: usize, whole: &Range<usize>) -> (bool, Range<usize>) {
    let first = STRIDE * whole.start + tap - s.config.padding;
    (first.is_multiple_of(STRIDE), first / STRIDE..first / STRIDE + whole.len())
}

fn tap_of<'a, T>(s: &PoolShape, tap: usize, whole: &Range<usize>, even: &'a [T], odd: &'a [T]) -> &'a [T] {
    if whole.is_empty() {
        return &[];
    }
    let (is_even, range) = place(s, tap, whole);
    if is_even { &even[range] } else { &odd[range] }
}

fn tap_of_mut<'a, T>(
    s: &PoolShape,
    tap: usize,
    whole: &Range<usize>,
    even: &'a mut [T],
    odd: &'a mut [T],
) -> &'a mut [T] {
    if whole.is_empty() {
        return &mut [];
    }
    let (is_even, range) = place(s, tap, whole);
    if is_even { &mut even[range] } else { &mut odd[range] }
}

vectorized! {
    fn take_larger<T: Element>(largest: &mut [T], row: &[T]) {
        largest.iter_mut().zip(row).for_each(|(largest, &x)| *largest = largest.larger(x));
    }
}

vectorized! {
    /// Even and odd pixels of a row.
    fn split<T: Element>(row: &[T], even: &mut [T], odd: &mut [T]) {
        for ((pair, even), odd) in row.chunks_exact(2).zip(even.iter_mut()).zip(odd.iter_mut()) {
            *even = pair[0];
            *odd = pair[1];
        }
        if !row.len().is_multiple_of(2) {
            even[row.len() / 2] = row[row.len() - 1];
        }
    }
}

vectorized! {
    /// The row of even and odd pixels.
    fn join<T: Element>(even: &[T], odd: &[T], row: &mut [MaybeUninit<T>]) {
        let whole = row.len() / 2 * 2;
        let (pairs, last) = row.split_at_mut(whole);
        for ((pair, &even), &odd) in pairs.chunks_exact_mut(2).zip(even).zip(odd) {
            pair[0].write(even);
            pair[1].write(odd);
        }
        if let [last] = last {
            last.write(even[whole / 2]);
        }
    }
}

vectorized! {
    fn write_largest<T: Element>(taps: [&[T]; 3], relu: bool, out: &mut [MaybeUninit<T>]) {
        let [a, b, c] = taps;
        for (((out, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
            let largest = a.larger(b).larger(c);
            out.write(if relu { largest.larger(T::ZERO) } else { largest });
        }
    }
}

vectorized! {
    /// Has one row of every window, whose first pixel is number `first` of the window, challenge the best so far; a window's first pixel
    /// begins. Winners are whole numbers in `T`, as wide as what is compared.
    fn challenge<T: Element>(first: usize, taps: [&[T]; 3], best: &mut [T], winner: &mut [T]) {
        for (index, tap) in taps.into_iter().enumerate() {
            let number = T::from_f64((first + index) as f64);
            let windows = best.iter_mut().zip(winner.iter_mut()).zip(tap);
            if first + index == 0 {
                windows.for_each(|((best, winner), &x)| (*best, *winner) = (x, number));
            } else {
                windows.for_each(|((best, winner), &x)| {
                    let wins = wins(x, *best);
                    *best = if wins { x } else { *best };
                    *winner = if wins { number } else { *winner };
                });
            }
        }
    }
}

vectorized! {
    fn give<T: Element>(relu: bool, best: &[T], gradient: &[T], given: &mut [T]) {
        for ((given, &best), &gradient) in given.iter_mut().zip(best).zip(gradient) {
            *given = if relu & (best <= T::ZERO) { T::ZERO } else { gradient };
        }
    }
}

vectorized! {
    /// Adds `given` where `number` won.
    fn add_where<T: Element>(number: T, winner: &[T], given: &[T], to: &mut [T]) {
        for ((to, &winner), &given) in to.iter_mut().zip(winner).zip(given) {
            *to += if winner == number { given } else { T::ZERO };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::overwritable;

    /// The definition, window by window.
    fn plain(s: &PoolShape, relu: bool, x: &[f32], gradient: &[f32]) -> [Vec<f32>; 2] {
        let (mut y, mut dx) = (vec![0.0; gradient.len()], vec![0.0; x.len()]);
        s.for_each_window(|o, rows, columns| {
            let first = first_maximum(x, s.width, rows, columns);
            y[o] = if relu { x[first].larger(0.0) } else { x[first] };
            if !(relu && x[first] <= 0.0) {
                dx[first] += gradient[o];
            }
        });
        [y, dx]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn planes_of_every_size_pool_as_defined(
            height in 1usize..40, width in 1usize..70, padding in 0usize..2, relu: bool,
            // Few values, so that there are ties; and sometimes none at all.
            values in proptest::collection::vec((0u8..40).prop_map(|v| if v == 0 { f32::NAN } else { f32::from(v % 5) - 2.5 }), 40 * 70),
        ) {
            prop_assume!(height.min(width) + 2 * padding >= 3);
            let s = PoolShape { images: 1, channels: 1, height, width, config: PoolConfig { kernel: 3, stride: 2, padding } };
            let x = &values[..height * width];
            let gradient: Vec<f32> = (0..s.out_plane()).map(|i| (i as f32).sin()).collect();
            let expected = plain(&s, relu, x, &gradient);
            let mut y = vec![f32::NAN; s.out_plane()];
            forward(&s, relu, x, overwritable(&mut y));
            let mut dx = vec![f32::NAN; x.len()];
            backward(&s, relu, x, &gradient, overwritable(&mut dx));
            for (found, expected) in [y, dx].iter().zip(&expected) {
                prop_assert!(found.iter().zip(expected).all(|(f, e)| f == e || f.is_nan() && e.is_nan()), "{found:?} {expected:?}");
            }
        }
    }
}
