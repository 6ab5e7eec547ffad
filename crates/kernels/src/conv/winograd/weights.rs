//! Transformed weights.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::kernel::{LINE, Products};
use super::lines::{Lines, point_stride};
use super::transform::POINTS;
use crate::conv::shape::ConvShape;
use crate::output::{Aligned, Shared};

/// The weights as one pass reads them: it sums over `reduced` channels for each of `computed` channels.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    numbers: &'a [f32],
    in_channels: usize,
    backward: bool,
    pub(super) reduced: usize,
    pub(super) computed: usize,
}

impl<'a> Weights<'a> {
    /// For the forward pass: input channels are summed over.
    pub(super) fn forward(s: &ConvShape, numbers: &'a [f32]) -> Self {
        Self { numbers, in_channels: s.in_channels, backward: false, reduced: s.in_channels, computed: s.out_channels }
    }

    /// For the input gradient: output channels are summed over, and the kernels turned by 180°.
    pub(super) fn backward(s: &ConvShape, numbers: &'a [f32]) -> Self {
        Self { numbers, in_channels: s.in_channels, backward: true, reduced: s.out_channels, computed: s.in_channels }
    }

    /// Lines of computed channels.
    pub(super) fn computed_lines(&self) -> usize {
        self.computed.div_ceil(LINE)
    }

    /// Lines of reduced channels.
    pub(super) fn reduced_lines(&self) -> usize {
        self.reduced.div_ceil(LINE)
    }

    /// The nine taps from channel `reduced` to each channel of line `line`.
    fn taps(&self, reduced: usize, line: usize) -> [f32; 9 * LINE] {
        let mut taps = [0.0; 9 * LINE];
        for (lane, computed) in (line * LINE..self.computed.min((line + 1) * LINE)).enumerate() {
            let (o, c) = if self.backward { (reduced, computed) } else { (computed, reduced) };
            let kernel = &self.numbers[(o * self.in_channels + c) * 9..][..9];
            for (tap, &weight) in kernel.iter().enumerate() {
                taps[if self.backward { 8 - tap } else { tap } * LINE + lane] = weight;
            }
        }
        taps
    }

    /// Rows of a transform: one for as many reduced channels as a number holds, and those of zeros that fill up the products' step.
    pub(super) fn rows(&self, products: &Products) -> usize {
        self.reduced.div_ceil(products.terms).next_multiple_of(products.step)
    }

    /// Transforms `reduced` channels, from the first of a row on, of lines `lines`: at each point rows of `lines.len()` lines, points
    /// `stride` apart. With the last channels go the rows of zeros behind them.
    ///
    /// # Safety
    /// `to` can be written for that.
    pub(super) unsafe fn transform(
        &self,
        (functions, products): (&Lines, &Products),
        reduced: std::ops::Range<usize>,
        lines: std::ops::Range<usize>,
        to: *mut f32,
        stride: usize,
    ) {
        let terms = functions.terms();
        if reduced.end == self.reduced {
            let first = (self.reduced.div_ceil(terms) - reduced.start / terms) * lines.len() * LINE;
            let len = (self.rows(products) - self.reduced.div_ceil(terms)) * lines.len() * LINE;
            for point in 0..POINTS {
                // SAFETY: the caller's promise.
                unsafe { to.add(point * stride + first).write_bytes(0, len) };
            }
        }
        for (index, channel) in reduced.enumerate() {
            let (row, term) = (index / terms, index % terms);
            for (index, line) in lines.clone().enumerate() {
                let taps = self.taps(channel, line);
                // SAFETY: the caller's promise; `taps` is nine lines.
                unsafe {
                    let to = to.add((row * lines.len() + index) * LINE);
                    (functions.kernel_to_points[term])(taps.as_ptr(), to, stride);
                }
            }
        }
    }

    /// Transforms everything, in parallel, in groups of as many lines as the products take.
    pub(super) fn transform_all(&self, functions: &Lines, products: &Products) -> Transformed {
        let rows = self.rows(products);
        let stride = point_stride(rows * self.computed_lines() * LINE);
        let group = products.lines();
        let groups = self.computed_lines().div_ceil(group);
        let blocks = self.reduced_lines();
        let write = |numbers: &mut [MaybeUninit<f32>]| {
            // Between two points lie LINE numbers that nobody reads.
            for numbers in numbers.chunks_exact_mut(stride) {
                numbers[stride - LINE..].fill(MaybeUninit::new(0.0));
            }
            let shared = Shared::new(numbers);
            (0..blocks * groups).into_par_iter().for_each(|task| {
                let (block, group_index) = (task % blocks, task / blocks);
                let lines = group_index * group..self.computed_lines().min((group_index + 1) * group);
                let reduced = block * LINE..self.reduced.min((block + 1) * LINE);
                let at = (lines.start * rows + reduced.start / functions.terms() * lines.len()) * LINE;
                // SAFETY: the group's rows for these channels, at every point, are this task's own and inside the numbers.
                unsafe { self.transform((functions, products), reduced, lines, shared.pointer(at), stride) };
            });
        };
        // SAFETY: the tasks write each point's rows, the loop the rest.
        Transformed { numbers: unsafe { Aligned::written(POINTS * stride, write) }, stride }
    }
}

/// All weights, transformed.
pub(super) struct Transformed {
    pub(super) numbers: Aligned,
    /// Distance of two points.
    pub(super) stride: usize,
}
