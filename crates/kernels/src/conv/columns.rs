//! f64 convolution as matrix products of unfolded images (im2col), by the `gemm` crate: gradient and parity tests run whole
//! networks in f64, where the definition itself would take minutes.
//!
//! Every image is a product of its own, so that it has the same bits in any batch; sums over images have a fixed order.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::shape::ConvShape;
use crate::epilogue::{Finish, Rows};
use crate::output::overwritable;

/// Parts into which a weight gradient's images are cut; fixed, so that its bits do not depend on the threads.
const PARTS: usize = 4;

/// `out = finish(conv(x, weight))`.
pub(crate) fn forward(s: &ConvShape, x: &[f64], weight: &[f64], finish: Finish<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; s.out_len()];
    let (image, plane) = (s.in_channels * s.in_plane(), s.out_plane());
    let images = out.par_chunks_mut(s.out_channels * plane).zip(x.par_chunks(image)).enumerate();
    images.for_each(|(n, (out, x))| {
        let columns = unfold(s, x);
        let mut sums = vec![0.0; out.len()];
        let weight = Matrix::rows(weight, s.out_channels, unfolded_rows(s));
        multiply(&mut sums, weight, Matrix::rows(&columns, unfolded_rows(s), plane), Sum::New);
        for (o, (out, sums)) in out.chunks_exact_mut(plane).zip(sums.chunks_exact(plane)).enumerate() {
            let rows = Rows { from: sums, pitch: s.out_width(), width: s.out_width() };
            finish.write_plane(n * s.out_channels + o, o, rows, overwritable(out));
        }
    });
    out
}

/// Gradient of the input, from the gradient of the output.
pub(crate) fn input_gradient(s: &ConvShape, gradient: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; s.in_len()];
    let (image, plane) = (s.in_channels * s.in_plane(), s.out_plane());
    let images = out.par_chunks_mut(image).zip(gradient.par_chunks(s.out_channels * plane));
    images.for_each(|(out, gradient)| {
        let mut columns = vec![0.0; unfolded_rows(s) * plane];
        let weight = Matrix::rows(weight, s.out_channels, unfolded_rows(s)).transposed();
        multiply(&mut columns, weight, Matrix::rows(gradient, s.out_channels, plane), Sum::New);
        fold(s, &columns, out);
    });
    out
}

/// Gradient of the weight.
pub(crate) fn weight_gradient(s: &ConvShape, x: &[f64], gradient: &[f64]) -> Vec<f64> {
    let (image, plane) = (s.in_channels * s.in_plane(), s.out_plane());
    let part = s.images.div_ceil(PARTS).max(1);
    let parts = x.par_chunks(part * image).zip(gradient.par_chunks(part * s.out_channels * plane));
    let sums: Vec<Vec<f64>> = parts
        .map(|(x, gradient)| {
            let mut sum = vec![0.0; s.weight_len()];
            for (x, gradient) in x.chunks_exact(image).zip(gradient.chunks_exact(s.out_channels * plane)) {
                let columns = unfold(s, x);
                let columns = Matrix::rows(&columns, unfolded_rows(s), plane).transposed();
                multiply(&mut sum, Matrix::rows(gradient, s.out_channels, plane), columns, Sum::Onto);
            }
            sum
        })
        .collect();
    let mut sums = sums.into_iter();
    let first = sums.next().unwrap_or_else(|| vec![0.0; s.weight_len()]);
    sums.fold(first, |mut total, sum| {
        total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
        total
    })
}

/// Rows of an unfolded image: one per input channel and tap.
fn unfolded_rows(s: &ConvShape) -> usize {
    s.in_channels * s.taps()
}

/// One image as (channels · taps, output pixels): what each tap sees at each output pixel; zero outside the image.
fn unfold(s: &ConvShape, image: &[f64]) -> Vec<f64> {
    let mut columns = vec![0.0; unfolded_rows(s) * s.out_plane()];
    for_each_run(s, |at, from, length| {
        for (i, column) in columns[at..at + length].iter_mut().enumerate() {
            *column = image[from + i * s.stride];
        }
    });
    columns
}

/// Adds every number of an unfolded image to the pixel that it was taken from.
fn fold(s: &ConvShape, columns: &[f64], image: &mut [f64]) {
    for_each_run(s, |at, from, length| {
        for (i, column) in columns[at..at + length].iter().enumerate() {
            image[from + i * s.stride] += column;
        }
    });
}

/// Calls `visit(first number of the unfolded image, first number of the image, length)` for every run of output pixels of
/// one row that one tap sees inside the image.
fn for_each_run(s: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    for row in 0..unfolded_rows(s) {
        let (channel, tap) = (row / s.taps(), row % s.taps());
        let (ky, kx) = (tap / s.kernel, tap % s.kernel);
        let columns = s.columns_inside(kx);
        if columns.is_empty() {
            continue;
        }
        for oy in s.rows_inside(ky) {
            let (y, x) = (oy * s.stride + ky - s.padding, columns.start * s.stride + kx - s.padding);
            let at = (row * s.out_height() + oy) * s.out_width() + columns.start;
            visit(at, (channel * s.height + y) * s.width + x, columns.len());
        }
    }
}

/// A matrix in memory, or its transpose.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    numbers: &'a [f64],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    fn rows(numbers: &'a [f64], rows: usize, columns: usize) -> Self {
        assert_eq!(numbers.len(), rows * columns, "the matrix is dense");
        Self { numbers, rows, columns, row_stride: columns, column_stride: 1 }
    }

    fn transposed(self) -> Self {
        let Self { numbers, rows, columns, row_stride, column_stride } = self;
        Self { numbers, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// What a product does with what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    /// Replaces it.
    New,
    /// Is added to it.
    Onto,
}

/// `out (m, n) = a (m, k) · b (k, n)`, on this thread.
fn multiply(out: &mut [f64], a: Matrix<'_>, b: Matrix<'_>, sum: Sum) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(b.rows == k && out.len() == m * n, "the matrices fit");
    // SAFETY: `Matrix::rows` has checked that sizes and strides stay inside `a` and `b`; `out` is dense, row by row, of m · n
    // numbers, and borrowed for this call alone.
    unsafe {
        gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            sum == Sum::Onto,
            a.numbers.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.numbers.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{checks::numbers, plain};

    fn wide(seed: u64, len: usize) -> Vec<f64> {
        numbers(seed, len).into_iter().map(f64::from).collect()
    }

    #[track_caller]
    fn close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        let worst = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-11, "off by {worst}");
    }

    #[test]
    fn all_passes_agree_with_the_definition() {
        for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 3, 0), (2, 1, 2)] {
            let (images, in_channels, out_channels, height, width) = (5, 3, 4, 7, 6);
            let s = ConvShape { images, in_channels, out_channels, height, width, kernel, stride, padding };
            let (x, weight, gradient) = (wide(1, s.in_len()), wide(2, s.weight_len()), wide(3, s.out_len()));
            close(&forward(&s, &x, &weight, Finish::NONE), &plain::forward(&s, &x, &weight, Finish::NONE));
            close(&input_gradient(&s, &gradient, &weight), &plain::input_gradient(&s, &gradient, &weight));
            close(&weight_gradient(&s, &x, &gradient), &plain::weight_gradient(&s, &x, &gradient));
        }
    }
}
