//! Weight gradient of convolutions with many input channels: channels lie in lines, as in Winograd's.
//!
//! For one tap, the gradient of a line of input channels with all output channels is a product of two matrices that share
//! their pixels: the image's lines where the tap reads them, and the output gradient's lines. A group of images is turned
//! into lines by all threads, which then share out the taps and the lines of input channels.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::conv::partials::in_order;
use crate::conv::shape::ConvShape;
use crate::conv::winograd::{Images, LINE, Lines, Products};
use crate::scratch;
use crate::simd::Isa;

/// Pixels of a group: as many as a core's caches hold of a line of either side.
const PIXELS: usize = 2048;

/// Whether lines are filled, and there is work enough to share out: with fewer weights, chunks of images are summed each for
/// themselves.
pub(super) fn suits(s: &ConvShape) -> bool {
    const MIN_WEIGHTS: usize = 1 << 15;
    /// With fewer, reading and writing the sums takes longer than the products.
    const MIN_PIXELS: usize = 64;
    s.in_channels.min(s.out_channels) >= LINE && s.weight_len() >= MIN_WEIGHTS && s.images * s.out_plane() >= MIN_PIXELS
}

/// `out[o][c][ky][kx] = Σ gradient * x` over all images; writes all of `out`.
pub(super) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    let images = (PIXELS / s.out_plane()).clamp(1, s.images.max(1));
    let pass = Pass {
        isa,
        functions: Lines::of(isa),
        products: Products::of(isa),
        s,
        lines: (s.in_channels.div_ceil(LINE), s.out_channels.div_ceil(LINE)),
        images,
    };
    let lens = [pass.lines.0 * images * s.in_plane(), pass.lines.1 * images * s.out_plane()].map(|len| len * LINE);
    scratch::with(lens[0] + lens[1] + s.taps() * pass.lines.0 * pass.sums_len(), |memory| {
        let (x_lines, rest) = memory.split_at_mut(lens[0]);
        let (z, sums) = rest.split_at_mut(lens[1]);
        for first in (0..s.images).step_by(images) {
            let images = images.min(s.images - first);
            pass.to_lines((x, s.in_channels, s.height, s.width), first..first + images, x_lines);
            pass.to_lines((gradient, s.out_channels, s.out_height(), s.out_width()), first..first + images, z);
            let pixels = images * s.out_plane();
            let each = pass.images * s.out_plane() * LINE;
            z.par_chunks_exact_mut(each).for_each(|z| pass.factor(pixels, z));
            if pass.pointwise() {
                x_lines.par_chunks_exact_mut(each).for_each(|x| pass.input_factor(pixels, x));
            }
            sums.par_chunks_exact_mut(pass.sums_len()).enumerate().for_each(|(task, sums)| {
                let (tap, line) = (task / pass.lines.0, task % pass.lines.0);
                pass.sum_products(tap, line, images, (x_lines, z), sums, first > 0);
            });
        }
        in_order(s, sums, pass.row(), pass.lines.0 * pass.sums_len(), out);
    });
}

static ZEROS: [f32; LINE] = [0.0; LINE];

struct Pass<'a> {
    isa: Isa,
    functions: &'static Lines,
    products: &'static Products,
    s: &'a ConvShape,
    /// Lines of input and of output channels.
    lines: (usize, usize),
    /// Images of a group.
    images: usize,
}

impl Pass<'_> {
    /// Sums of one tap and line of input channels: for each of them a row of output channels.
    fn sums_len(&self) -> usize {
        LINE * self.row()
    }

    /// Numbers between two rows of sums: an odd number of lines, since rows a power of two apart share their cache sets.
    fn row(&self) -> usize {
        (self.lines.1 | 1) * LINE
    }

    /// Turns images into lines: for each channel line the images one behind the other, at the distance of a whole group.
    fn to_lines(
        &self,
        (numbers, channels, height, width): (&[f32], usize, usize, usize),
        images: std::ops::Range<usize>,
        to: &mut [f32],
    ) {
        let source = Images { numbers, channels, height, width };
        let image_len = height * width * LINE;
        to.par_chunks_exact_mut(self.images * image_len).enumerate().for_each(|(line, to)| {
            for (image, to) in images.clone().zip(to.chunks_exact_mut(image_len)) {
                source.load(self.functions, image, line, &(0..height), to);
            }
        });
    }

    /// Whether a product reads the image's lines as they are.
    fn pointwise(&self) -> bool {
        (self.s.kernel, self.s.stride, self.s.padding) == (1, 1, 0)
    }

    /// Lines of a factor of `pixels` pixels, with those that fill up the products' step.
    fn rows(&self, pixels: usize) -> usize {
        pixels.div_ceil(self.products.terms).next_multiple_of(self.products.step)
    }

    /// Makes a factor of `pixels` lines: pairs of neighbours, where the products' numbers are pairs, and zeros up to their step.
    fn factor(&self, pixels: usize, lines: &mut [f32]) {
        let Some(join) = self.isa.join() else { return };
        assert!(pixels.max(self.rows(pixels)) * LINE <= lines.len());
        let to = lines.as_mut_ptr();
        let from = to.cast_const();
        for pair in 0..pixels.div_ceil(2) {
            let (first, second) = (2 * pair, 2 * pair + 1);
            // SAFETY: the processor has the pass's instruction set; the assert bounds the lines, of which a pair is written where it
            // was read, or before.
            unsafe {
                let second = if second < pixels { from.add(second * LINE) } else { ZEROS.as_ptr() };
                join(from.add(first * LINE), second, LINE, to.add(pair * LINE));
            }
        }
        lines[pixels.div_ceil(2) * LINE..][..(self.rows(pixels) - pixels.div_ceil(2)) * LINE].fill(0.0);
    }

    /// The same of input channels, which some products take turned.
    fn input_factor(&self, pixels: usize, lines: &mut [f32]) {
        self.factor(pixels, lines);
        if let Some(turn) = self.products.turn {
            assert!(self.rows(pixels) * LINE <= lines.len());
            // SAFETY: the processor has the pass's instruction set; the assert bounds the blocks.
            unsafe { turn(self.rows(pixels) / LINE, lines.as_mut_ptr()) };
        }
    }

    /// Sums one group's products of a tap and a line of input channels, onto their sums before if `onto`.
    fn sum_products(
        &self,
        tap: usize,
        line: usize,
        images: usize,
        (x, z): (&[f32], &[f32]),
        sums: &mut [f32],
        onto: bool,
    ) {
        let s = self.s;
        let x = &x[line * self.images * s.in_plane() * LINE..][..self.images * s.in_plane() * LINE];
        if self.pointwise() {
            return self.multiply(images, (x, z), sums, onto);
        }
        let pixels = images * s.out_plane();
        scratch::with(pixels.max(self.rows(pixels)) * LINE, |v: &mut [f32]| {
            let planes = x.chunks_exact(s.in_plane() * LINE).zip(v.chunks_exact_mut(s.out_plane() * LINE));
            planes.take(images).for_each(|(x, v)| self.read_tap(tap, x, v));
            self.input_factor(pixels, v);
            self.multiply(images, (v, z), sums, onto);
        });
    }

    /// The lines that a tap reads of one image, zeros where it reads padding.
    fn read_tap(&self, tap: usize, x: &[f32], v: &mut [f32]) {
        let s = self.s;
        let (ky, kx) = (tap / s.kernel, tap % s.kernel);
        let (rows, columns) = (s.rows_inside(ky), s.columns_inside(kx));
        for (row, v) in v.chunks_exact_mut(s.out_width() * LINE).enumerate() {
            if !rows.contains(&row) || columns.is_empty() {
                v.fill(0.0);
                continue;
            }
            v[..columns.start * LINE].fill(0.0);
            v[columns.end * LINE..].fill(0.0);
            let first = (row * s.stride + ky - s.padding) * s.width + columns.start * s.stride + kx - s.padding;
            let v = v[columns.start * LINE..columns.end * LINE].as_chunks_mut::<LINE>().0;
            let x = x[first * LINE..].as_chunks::<LINE>().0.iter().step_by(s.stride);
            v.iter_mut().zip(x).for_each(|(v, x)| *v = *x);
        }
    }

    /// `sums[c][o] = Σ_pixel v[pixel][c] * z[pixel][o]`, or `+=` where `onto` says so.
    fn multiply(&self, images: usize, (v, z): (&[f32], &[f32]), sums: &mut [f32], onto: bool) {
        let (pixels, row) = (images * self.s.out_plane(), self.row());
        // Lines of output channels are a whole group apart.
        let distance = self.images * self.s.out_plane() * LINE;
        let rows = self.rows(pixels);
        assert!(rows * LINE <= distance.min(v.len()) && z.len() >= self.lines.1 * distance && sums.len() >= LINE * row);
        let ready = self.isa.ready();
        for group in (0..self.lines.1).step_by(self.products.lines()) {
            let product = self.products.by_lines[self.products.lines().min(self.lines.1 - group) - 1].gradient;
            for channel in (0..LINE).step_by(self.products.channel_step) {
                // SAFETY: the assert bounds the line of all pixels in `v`, the group's lines in `z`, and the rows of the sums.
                unsafe {
                    product(
                        rows,
                        v.as_ptr().add(channel),
                        z.as_ptr().add(group * distance),
                        distance,
                        sums.as_mut_ptr().add(channel * row + group * LINE),
                        row,
                        onto,
                    );
                }
            }
        }
        drop(ready);
    }
}
