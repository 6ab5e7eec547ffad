//! Transformed weights.

use rayon::prelude::*;

use super::kernel::{LINE, Products};
use super::lines::{Lines, point_stride};
use super::transform::POINTS;
use crate::conv::shape::ConvShape;
use crate::output::Shared;

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

    /// Rows of a transform: one for as many reduced channels as a number holds.
    pub(super) fn rows(&self, functions: &Lines) -> usize {
        self.reduced.div_ceil(functions.terms())
    }

    /// Transforms `reduced` channels, from the first of a row on, of lines `lines`: at each point rows of `lines.len()` lines, points
    /// `stride` apart.
    ///
    /// # Safety
    /// `to` can be written for that.
    pub(super) unsafe fn transform(
        &self,
        functions: &Lines,
        reduced: std::ops::Range<usize>,
        lines: std::ops::Range<usize>,
        to: *mut f32,
        stride: usize,
    ) {
        let terms = functions.terms();
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
        let rows = self.rows(functions);
        let stride = point_stride(rows * self.computed_lines() * LINE);
        let group = products.lines();
        let groups = self.computed_lines().div_ceil(group);
        let mut numbers = Vec::with_capacity(POINTS * stride);
        let shared = Shared::new(&mut numbers.spare_capacity_mut()[..POINTS * stride]);
        let blocks = self.reduced_lines();
        (0..blocks * groups).into_par_iter().for_each(|task| {
            let (block, group_index) = (task % blocks, task / blocks);
            let lines = group_index * group..self.computed_lines().min((group_index + 1) * group);
            let reduced = block * LINE..self.reduced.min((block + 1) * LINE);
            let at = (lines.start * rows + reduced.start / functions.terms() * lines.len()) * LINE;
            // SAFETY: the group's rows for these channels, at every point, are this task's own and inside the vector.
            unsafe { self.transform(functions, reduced, lines, shared.pointer(at), stride) };
        });
        // Between two points lie LINE numbers that nobody reads.
        for point in 0..POINTS {
            let start = point * stride + stride - LINE;
            numbers.spare_capacity_mut()[start..start + LINE].fill(std::mem::MaybeUninit::new(0.0));
        }
        // SAFETY: the tasks wrote each point's rows, the loop the rest.
        unsafe { numbers.set_len(POINTS * stride) };
        Transformed { numbers, stride }
    }
}

/// All weights, transformed.
pub(super) struct Transformed {
    pub(super) numbers: Vec<f32>,
    /// Distance of two points.
    pub(super) stride: usize,
}
