//! Convolution of tiny images as a fully connected layer.
//!
//! Where an image has no more pixels than the kernel has taps, most taps of a convolution read padding. As a matrix from
//! all inputs of an image to all its outputs the convolution has no padding: a 3×3 kernel on 2×2 images costs 16 products per
//! pair of channels instead of 36. Images are rows of that matrix product as they lie in memory.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::direct::{self, Kernels, Panels};
use super::shape::ConvShape;
use super::weight::{Purpose, Weight};
use crate::epilogue::Finish;
use crate::output::{cleared, written};
use crate::simd::Isa;

/// Whether the matrix takes fewer products than the kernels do.
///
/// It costs the same to make however many images there are, and so does not pay for a few. It is made for them all the same:
/// sums run in another order than a direct convolution's, and an image's bits must not depend on its batch.
pub(crate) fn suits(s: &ConvShape) -> bool {
    let (inputs, outputs) = (s.in_plane(), s.out_plane());
    s.kernel > 1 && inputs < s.taps() && outputs <= s.taps() && inputs * outputs > 1
}

/// The fully connected layer.
fn layer(s: &ConvShape) -> ConvShape {
    ConvShape::of_pixels(s.images, s.in_channels * s.in_plane(), s.out_channels * s.out_plane())
}

/// For each output pixel and input pixel the tap that joins them, if any: `[output * inputs + input]`.
fn taps(s: &ConvShape) -> Vec<Option<usize>> {
    let mut taps = Vec::with_capacity(s.out_plane() * s.in_plane());
    for (oy, ox) in (0..s.out_height()).flat_map(|oy| (0..s.out_width()).map(move |ox| (oy, ox))) {
        for (y, x) in (0..s.height).flat_map(|y| (0..s.width).map(move |x| (y, x))) {
            let tap = |input: usize, output: usize| {
                (input + s.padding).checked_sub(output * s.stride).filter(|&tap| tap < s.kernel)
            };
            taps.push(tap(y, oy).zip(tap(x, ox)).map(|(ky, kx)| ky * s.kernel + kx));
        }
    }
    taps
}

/// Which of an image's sides the rows of the layer's matrix are; the terms are the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Inputs,
    Outputs,
}

/// The layer's matrix, packed.
fn packed(kernels: &Kernels, s: &ConvShape, weight: &[f32], by: Rows) -> Panels {
    // Each side's channels and pixels, and how far the kernels of two neighbouring channels are apart.
    let inputs = (s.in_channels, s.in_plane(), s.taps());
    let outputs = (s.out_channels, s.out_plane(), s.in_channels * s.taps());
    let (rows_side, terms_side) = if by == Rows::Inputs { (inputs, outputs) } else { (outputs, inputs) };
    let (row_channels, row_pixels, row_stride) = rows_side;
    let (term_channels, term_pixels, term_stride) = terms_side;
    let taps = taps(s);
    let tap = |row: usize, term: usize| {
        let (output, input) = if by == Rows::Inputs { (term, row) } else { (row, term) };
        taps[output * s.in_plane() + input]
    };
    Panels::pack_by(kernels, row_channels * row_pixels, term_channels * term_pixels, |rows, numbers| {
        // For each pixel of a term where the panel's rows find their numbers, of the first channel; absent = 0.
        let places: Vec<Option<usize>> = (0..term_pixels)
            .flat_map(|pixel| rows.clone().map(move |row| (row, pixel)))
            .map(|(row, pixel)| tap(row % row_pixels, pixel).map(|tap| row / row_pixels * row_stride + tap))
            .collect();
        for (channel, numbers) in numbers.chunks_exact_mut(places.len()).enumerate() {
            let weight = &weight[channel * term_stride..];
            for (number, &place) in numbers.iter_mut().zip(&places) {
                number.write(place.map_or(0.0, |place| weight[place]));
            }
        }
    })
}

/// `out = finish(conv(x, weight))`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: Weight<'_, f32>,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let bias: Option<Vec<f32>> =
        finish.bias.map(|bias| bias.iter().flat_map(|&bias| std::iter::repeat_n(bias, s.out_plane())).collect());
    let finish = Finish { bias: bias.as_deref(), ..finish };
    let layer = layer(s);
    let kernels = Kernels::for_rows(isa, layer.out_channels);
    let matrix = weight.form(Purpose::Forward, isa, s, || packed(kernels, s, weight.numbers, Rows::Outputs));
    direct::forward_packed(kernels, &layer, x, &matrix, finish, out);
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(
    isa: Isa,
    s: &ConvShape,
    gradient: &[f32],
    weight: Weight<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    // The transposed layer's forward pass.
    let ConvShape { in_channels, out_channels, .. } = layer(s);
    let kernels = Kernels::for_rows(isa, in_channels);
    let transposed = ConvShape::of_pixels(s.images, out_channels, in_channels);
    let matrix = weight.form(Purpose::InputGradient, isa, s, || packed(kernels, s, weight.numbers, Rows::Inputs));
    direct::forward_packed(kernels, &transposed, gradient, &matrix, Finish::NONE, out);
}

/// `out[o][c][ky][kx] = Σ gradient * x` over all images; writes all of `out`.
pub(crate) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    let (taps, inputs, row) = (taps(s), s.in_plane(), s.in_channels * s.in_plane());
    let layer = layer(s);
    // SAFETY: `weight_gradient` writes the whole matrix.
    let matrix =
        unsafe { written(layer.weight_len(), |matrix| direct::weight_gradient(isa, &layer, x, gradient, matrix)) };
    let filters = out.par_chunks_exact_mut(s.in_channels * s.taps());
    filters.zip(matrix.par_chunks_exact(s.out_plane() * row)).for_each(|(filter, rows)| {
        let filter = cleared(filter);
        for (row, taps) in rows.chunks_exact(row).zip(taps.chunks_exact(inputs)) {
            for (kernel, numbers) in filter.chunks_exact_mut(s.taps()).zip(row.chunks_exact(inputs)) {
                for (number, tap) in numbers.iter().zip(taps) {
                    if let &Some(tap) = tap {
                        kernel[tap] += number;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conv::checks::{Implementation, check_against_definition, shapes};

    const DENSE: Implementation =
        Implementation { tolerance: 5e-5, bf16_tolerance: 5e-5, forward, input_gradient, weight_gradient };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_instruction_set_computes_the_definition(s in shapes()) {
            let small = ConvShape { height: s.height.min(4), width: s.width.min(4), padding: s.padding.max(s.kernel / 2), ..s };
            check_against_definition(&small, &DENSE);
        }
    }

    #[test]
    fn the_last_layers_of_a_vgg_are_dense() {
        let layer = |size| ConvShape {
            images: 32,
            in_channels: 40,
            out_channels: 24,
            height: size,
            width: size,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        assert!(suits(&layer(2)) && !suits(&layer(4)));
        check_against_definition(&layer(2), &DENSE);
    }
}
