//! Convolution as its definition reads: what every other path is tested against.

use rayon::prelude::*;

use super::shape::ConvShape;
use crate::element::Element;
use crate::epilogue::{Finish, Rows};
use crate::output::overwritable;

/// `out = finish(conv(x, weight))`, one output plane at a time.
pub(crate) fn forward<T: Element>(s: &ConvShape, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let mut out = vec![T::ZERO; s.out_len()];
    let image = s.in_channels * s.in_plane();
    let filter = s.in_channels * s.taps();
    out.par_chunks_mut(s.out_plane()).enumerate().for_each(|(plane, out)| {
        let (n, o) = (plane / s.out_channels, plane % s.out_channels);
        let mut sums = vec![T::ZERO; out.len()];
        correlate(s, &x[n * image..][..image], &weight[o * filter..][..filter], &mut sums);
        let rows = Rows { from: &sums, pitch: s.out_width(), width: s.out_width() };
        finish.write_plane(plane, o, rows, overwritable(out));
    });
    out
}

/// Adds the correlation of one image with one filter to an output plane.
fn correlate<T: Element>(s: &ConvShape, image: &[T], filter: &[T], out: &mut [T]) {
    for (plane, taps) in image.chunks_exact(s.in_plane()).zip(filter.chunks_exact(s.taps())) {
        for_each_tap_row(s, |tap, oy, columns, input| {
            let out = &mut out[oy * s.out_width()..][columns];
            for (y, &x) in out.iter_mut().zip(plane[input..].iter().step_by(s.stride)) {
                *y += taps[tap] * x;
            }
        });
    }
}

/// Gradient of the input, from the gradient of the output.
pub(crate) fn input_gradient<T: Element>(s: &ConvShape, gradient: &[T], weight: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; s.in_len()];
    let image = s.out_channels * s.out_plane();
    out.par_chunks_mut(s.in_plane()).enumerate().for_each(|(plane, out)| {
        let (n, c) = (plane / s.in_channels, plane % s.in_channels);
        for (o, gradient) in gradient[n * image..][..image].chunks_exact(s.out_plane()).enumerate() {
            let taps = &weight[(o * s.in_channels + c) * s.taps()..][..s.taps()];
            for_each_tap_row(s, |tap, oy, columns, input| {
                let gradient = &gradient[oy * s.out_width()..][columns];
                for (x, &g) in out[input..].iter_mut().step_by(s.stride).zip(gradient) {
                    *x += taps[tap] * g;
                }
            });
        }
    });
    out
}

/// Gradient of the weight: images are summed in their order.
pub(crate) fn weight_gradient<T: Element>(s: &ConvShape, x: &[T], gradient: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; s.weight_len()];
    out.par_chunks_mut(s.taps()).enumerate().for_each(|(filter, out)| {
        let (o, c) = (filter / s.in_channels, filter % s.in_channels);
        for n in 0..s.images {
            let plane = &x[(n * s.in_channels + c) * s.in_plane()..][..s.in_plane()];
            let gradient = &gradient[(n * s.out_channels + o) * s.out_plane()..][..s.out_plane()];
            for_each_tap_row(s, |tap, oy, columns, input| {
                let gradient = &gradient[oy * s.out_width()..][columns];
                for (&x, &g) in plane[input..].iter().step_by(s.stride).zip(gradient) {
                    out[tap] += x * g;
                }
            });
        }
    });
    out
}

/// Calls `visit(tap, output row, output columns, first input number)` for every kernel tap and every output row that the
/// tap reads inside the image.
fn for_each_tap_row(s: &ConvShape, mut visit: impl FnMut(usize, usize, std::ops::Range<usize>, usize)) {
    for ky in 0..s.kernel {
        for kx in 0..s.kernel {
            let columns = s.columns_inside(kx);
            if columns.is_empty() {
                continue;
            }
            for oy in s.rows_inside(ky) {
                let row = oy * s.stride + ky - s.padding;
                let column = columns.start * s.stride + kx - s.padding;
                visit(ky * s.kernel + kx, oy, columns.clone(), row * s.width + column);
            }
        }
    }
}
