//! Forward pass and input gradient: tiles of images times tiles of weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::axis::Axis;
use super::images::Layout;
use super::weights::Weights;
use crate::conv::shape::ConvShape;
use crate::conv::weight::{Purpose, Weight};
use crate::conv::winograd::{Images, LINE, Lines, Output};
use crate::epilogue::Finish;
use crate::output::Shared;
use crate::scratch;
use crate::simd::tiles::{ROWS, Step, TILE, Target, Tiles, listed_product};
use crate::simd::{Isa, Ready};

/// Numbers of a task that should stay in a core's second-level cache.
const CACHE_NUMBERS: usize = 320 * 1024;

/// Tasks of a batch at least, if there are as many rows, so that there is parallel work.
const MIN_TASKS: usize = 32;

/// `out = finish(conv(x, weight))`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: Weight<'_, f32>,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let images = Images { numbers: x, channels: s.in_channels, height: s.height, width: s.width };
    let weights = weight.form(Purpose::Forward, isa, s, || Weights::forward(s, weight.numbers));
    let pass = Pass::new(isa, s, images, Axis::of_forward(s), &weights);
    pass.run(s.images, Output { numbers: &Shared::new(out), channels: s.out_channels, finish });
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(
    isa: Isa,
    s: &ConvShape,
    gradient: &[f32],
    weight: Weight<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let images = Images { numbers: gradient, channels: s.out_channels, height: s.out_height(), width: s.out_width() };
    let weights = weight.form(Purpose::InputGradient, isa, s, || Weights::backward(s, weight.numbers));
    let pass = Pass::new(isa, s, images, Axis::of_backward(s), &weights);
    pass.run(s.images, Output { numbers: &Shared::new(out), channels: s.in_channels, finish: Finish::NONE });
}

struct Pass<'a> {
    isa: Isa,
    functions: &'static Lines,
    kernel: usize,
    images: Images<'a>,
    rows: Axis,
    columns: Axis,
    layout: Layout,
    weights: &'a Weights,
}

impl<'a> Pass<'a> {
    fn new(isa: Isa, s: &ConvShape, images: Images<'a>, [rows, columns]: [Axis; 2], weights: &'a Weights) -> Self {
        assert!(isa == Isa::Avx512Amx);
        let layout = Layout::new(&columns, images.channels);
        Self { isa, functions: Lines::of(isa), kernel: s.kernel, images, rows, columns, layout, weights }
    }

    /// Each task takes some rows of 16 images from the sources to the output.
    fn run(&self, images: usize, output: Output<'_>) {
        let groups = images.div_ceil(ROWS);
        let strips = self.strips(groups);
        (0..groups * strips).into_par_iter().for_each(|task| {
            let (group, strip) = (task / strips, task % strips);
            let rows = self.rows.outputs * strip / strips..self.rows.outputs * (strip + 1) / strips;
            // SAFETY: tasks share no rows of an image.
            unsafe { self.strip(group * ROWS..images.min((group + 1) * ROWS), rows, output) };
        });
    }

    /// Strips that an image's output is cut into. Sizes alone decide.
    fn strips(&self, groups: usize) -> usize {
        let (sources, outputs) = (self.rows.sources, self.rows.outputs);
        let numbers = sources * self.layout.row() + outputs * 2 * ROWS * self.columns.outputs * LINE;
        numbers.div_ceil(CACHE_NUMBERS).max(MIN_TASKS.div_ceil(groups).min(outputs / 2)).clamp(1, outputs)
    }

    /// # Safety
    /// These rows of these images belong to this task alone.
    unsafe fn strip(&self, images: Range<usize>, rows: Range<usize>, output: Output<'_>) {
        let reads = || rows.clone().flat_map(|row| self.rows.taps(row)).map(|(_, source)| source);
        let first = reads().min().unwrap_or(0);
        let sources = first..reads().max().map_or(first, |last| last + 1);
        let steps: Vec<Vec<Step>> = rows
            .clone()
            .flat_map(|row| (0..self.columns.phases.len()).map(move |phase| (row, phase)))
            .map(|(row, phase)| self.steps(row, phase, sources.start))
            .collect();
        let image_len = rows.len() * self.columns.outputs * LINE + LINE;
        let (laid_out, sums_len) = (sources.len() * self.layout.row(), 2 * ROWS * image_len);
        let memory_len = self.layout.memory(sources.len()).max(image_len);
        scratch::with(laid_out + sums_len + memory_len, |memory| {
            let (tiles, rest) = memory.split_at_mut(laid_out);
            let (sums, memory) = rest.split_at_mut(sums_len);
            self.layout.fill(self.functions, self.images, images.clone(), &sources, tiles, memory);
            for line in (0..self.weights.lines()).step_by(2) {
                let lines = line..self.weights.lines().min(line + 2);
                self.multiply(&self.isa.ready(), &rows, &steps, lines.clone(), tiles, (sums, image_len));
                let strips = sums.chunks_exact(image_len).enumerate();
                for (index, strip) in
                    strips.filter(|(index, _)| index % ROWS < images.len() && index / ROWS < lines.len())
                {
                    let place = (images.start + index % ROWS, line + index / ROWS);
                    // SAFETY: the caller's promise.
                    unsafe {
                        let plane = (self.rows.outputs, self.columns.outputs);
                        output.write_line(self.functions, plane, place, &rows, strip, memory);
                    }
                }
            }
        });
    }

    /// The steps of an output row's columns of a phase, from the first one on, where tiles start with source row `first`.
    fn steps(&self, row: usize, phase: usize, first: usize) -> Vec<Step> {
        let depth = self.weights.depth();
        let columns = &self.columns.phases[phase];
        let taps = self.rows.taps(row).flat_map(|row| columns.iter().map(move |column| (row, column)));
        taps.flat_map(|((ky, source), &(kx, column))| {
            let (a, b) = (self.layout.place(source - first, column), (ky * self.kernel + kx) * depth * TILE);
            (0..depth).map(move |step| Step::new(a + step * TILE, b + step * TILE))
        })
        .collect()
    }

    /// The products of one or two lines of computed channels: for each line, image and pixel of `rows` a line of sums, images `image_len`
    /// apart.
    fn multiply(
        &self,
        _: &Ready,
        rows: &Range<usize>,
        steps: &[Vec<Step>],
        lines: Range<usize>,
        tiles: &[f32],
        (sums, image_len): (&mut [f32], usize),
    ) {
        let (phases, width) = (self.columns.phases.len(), self.columns.outputs);
        let weights = &self.weights.numbers[lines.start * self.weights.line_len()..lines.end * self.weights.line_len()];
        let b = Tiles { first: weights.as_ptr(), next: self.weights.line_len() };
        let next = self.columns.step * self.layout.pixel();
        assert!(sums.len() >= lines.len() * ROWS * image_len && image_len >= rows.len() * width * LINE);
        for (index, steps) in steps.iter().enumerate() {
            let (row, phase) = (index / phases, index % phases);
            let count = self.columns.count(phase);
            for column in (0..count).step_by(2) {
                let a = Tiles { first: tiles.as_ptr().wrapping_add(column * next), next };
                let pixel = row * width + phase + column * phases;
                let first = sums.as_mut_ptr().wrapping_add(pixel * LINE);
                let to = Target { first, row: image_len, down: phases * LINE, right: ROWS * image_len };
                // SAFETY: the layout has the tiles of every column that the steps read, margins included, and the weights those of all
                // taps; the assert bounds the sums.
                unsafe { listed_product(((count - column).min(2), lines.len()), steps, a, b, to, false) };
            }
        }
    }
}
