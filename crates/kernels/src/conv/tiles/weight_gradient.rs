//! Weight gradient: sums over images and pixels.
//!
//! Here a tile's terms are 32 images at one pixel, in pairs: of the input turned so that its rows are channels, of the output's gradient as
//! transposed images come. A tap's sum is the list of its pixels. Some rows of 32 images are laid out by all threads, which then
//! share out lines of channels.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::conv::partials::in_order;
use crate::conv::shape::{ConvShape, inside};
use crate::conv::winograd::{Images, LINE, Lines, Products};
use crate::output::{Shared, overwritable};
use crate::scratch;
use crate::simd::tiles::{PAIRS, Step, TILE, Target, Tiles, listed_product};
use crate::simd::{Isa, pairs};

/// Images of a group.
const IMAGES: usize = 2 * PAIRS;

/// Numbers of a group's rows that should stay in the caches.
const CACHE_NUMBERS: usize = 640 * 1024;

/// `out[o][c][ky][kx] = Σ gradient * x` over all images; writes all of `out`.
pub(crate) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    assert!(isa == Isa::Avx512Amx);
    let x = Images { numbers: x, channels: s.in_channels, height: s.height, width: s.width };
    let gradient = Images { numbers: gradient, channels: s.out_channels, height: s.out_height(), width: s.out_width() };
    let pass = Pass { isa, functions: Lines::of(isa), s, x: Side::new(x), gradient: Side::new(gradient) };
    pass.run(out);
}

/// Images and how their tiles lie: row after row, at each pixel a tile for each line of channels.
#[derive(Clone, Copy)]
struct Side<'a> {
    images: Images<'a>,
    lines: usize,
}

impl<'a> Side<'a> {
    fn new(images: Images<'a>) -> Self {
        Self { images, lines: images.channels.div_ceil(LINE) }
    }

    /// Numbers from one pixel to the next. A cache line more than needed: tiles a power of two apart share their cache sets.
    fn pixel(&self) -> usize {
        self.lines * TILE + LINE
    }

    /// Numbers of a row.
    fn row(&self) -> usize {
        self.images.width * self.pixel()
    }

    /// Lays out rows `rows` of some of `images` images, from `first` on, with zeros for those that are not there.
    fn fill(&self, functions: &Lines, first: usize, images: usize, rows: &Range<usize>, to: &mut [f32]) {
        let pixels = rows.len() * self.images.width;
        assert!(pixels * self.pixel() <= to.len());
        if pixels == 0 {
            return; // All that the strip reads is padding.
        }
        let to = Shared::new(overwritable(to));
        (0..PAIRS * self.lines).into_par_iter().for_each(|task| {
            let (pair, line) = (task / self.lines, task % self.lines);
            scratch::with(2 * pixels * LINE, |memory| {
                let (one, other) = memory.split_at_mut(pixels * LINE);
                for (image, strip) in [(first + 2 * pair, &mut *one), (first + 2 * pair + 1, &mut *other)] {
                    if image < images {
                        self.images.load(functions, image, line, rows, strip);
                    } else {
                        strip.fill(0.0);
                    }
                }
                // SAFETY: a processor with AMX has the instructions; the strips hold all pixels' lines; by the assert the pixels' tiles
                // lie in `to`, and tasks share none of their rows.
                unsafe {
                    let to = to.pointer(line * TILE + pair * LINE);
                    pairs::join_lines(one.as_ptr(), other.as_ptr(), pixels, to, self.pixel());
                }
            });
        });
    }
}

struct Pass<'a> {
    isa: Isa,
    functions: &'static Lines,
    s: &'a ConvShape,
    x: Side<'a>,
    gradient: Side<'a>,
}

impl Pass<'_> {
    /// Numbers between two rows of sums: an odd number of lines, since rows a power of two apart share their cache sets.
    fn row(&self) -> usize {
        (self.gradient.lines | 1) * LINE
    }

    /// Sums of a tap: for each input channel a row of output channels.
    fn of_tap(&self) -> usize {
        self.x.lines * LINE * self.row()
    }

    /// Rows of the output that are multiplied at once.
    fn strips(&self) -> usize {
        let numbers = self.s.height * self.x.row() + self.s.out_height() * self.gradient.row();
        numbers.div_ceil(CACHE_NUMBERS).clamp(1, self.s.out_height())
    }

    fn run(&self, out: &mut [MaybeUninit<f32>]) {
        let (s, strips) = (self.s, self.strips());
        let rows = |strip: usize| s.out_height() * strip / strips..s.out_height() * (strip + 1) / strips;
        let lens = (0..strips)
            .map(rows)
            .map(|rows| (self.sources(&rows).len() * self.x.row(), rows.len() * self.gradient.row()));
        let (x_len, g_len) = lens.fold((0, 0), |(x, g), (x_len, g_len)| (x.max(x_len), g.max(g_len)));
        scratch::with(x_len + g_len + s.taps() * self.of_tap(), |memory| {
            let (x, rest) = memory.split_at_mut(x_len);
            let (gradient, sums) = rest.split_at_mut(g_len);
            let groups = (0..s.images).step_by(IMAGES).flat_map(|first| (0..strips).map(move |strip| (first, strip)));
            for (index, (first, strip)) in groups.enumerate() {
                let rows = rows(strip);
                self.gradient.fill(self.functions, first, s.images, &rows, gradient);
                self.x.fill(self.functions, first, s.images, &self.sources(&rows), x);
                self.turn(&mut x[..self.sources(&rows).len() * self.x.row()]);
                self.multiply(&rows, (x, gradient), sums, index > 0);
            }
            in_order(s, sums, self.row(), self.of_tap(), out);
        });
    }

    /// Rows of the input that some tap reads for output rows `rows`.
    fn sources(&self, rows: &Range<usize>) -> Range<usize> {
        let s = self.s;
        let first = (rows.start * s.stride).saturating_sub(s.padding).min(s.height);
        first..((rows.end - 1) * s.stride + s.kernel).saturating_sub(s.padding).clamp(first, s.height)
    }

    /// Turns the input's tiles, so that rows become columns.
    fn turn(&self, x: &mut [f32]) {
        let Some(turn) = Products::of(self.isa).turn else { return };
        x.par_chunks_exact_mut(self.x.pixel()).for_each(|pixel| {
            // SAFETY: the processor has the instructions; a pixel has a tile for each line.
            unsafe { turn(self.x.lines, pixel.as_mut_ptr()) };
        });
    }

    /// The pixels that a tap sums over in output rows `rows`.
    fn steps(&self, tap: usize, rows: &Range<usize>) -> Vec<Step> {
        let s = self.s;
        let (ky, kx) = (tap / s.kernel, tap % s.kernel);
        let (columns, sources) = (s.columns_inside(kx), self.sources(rows));
        let present = inside(s.out_height(), s.height, ky, s.stride, s.padding);
        let outputs = rows.clone().filter(|row| present.contains(row));
        let places = outputs.flat_map(|row| columns.clone().map(move |column| (row, column)));
        places
            .map(|(row, column)| {
                let (y, x) = (row * s.stride + ky - s.padding - sources.start, column * s.stride + kx - s.padding);
                let gradient = (row - rows.start) * self.gradient.row() + column * self.gradient.pixel();
                Step::new(y * self.x.row() + x * self.x.pixel(), gradient)
            })
            .collect()
    }

    /// Sums the products of output rows `rows`, onto the sums before if `onto`.
    fn multiply(&self, rows: &Range<usize>, (x, gradient): (&[f32], &[f32]), sums: &mut [f32], onto: bool) {
        let steps: Vec<Vec<Step>> = (0..self.s.taps()).map(|tap| self.steps(tap, rows)).collect();
        assert!(
            self.sources(rows).len() * self.x.row() <= x.len() && rows.len() * self.gradient.row() <= gradient.len()
        );
        assert!(self.s.taps() * self.of_tap() <= sums.len());
        let sums = Shared::new(overwritable(sums));
        let pairs = (self.x.lines.div_ceil(2), self.gradient.lines.div_ceil(2));
        (0..pairs.0 * pairs.1).into_par_iter().for_each(|task| {
            let (input, output) = (task / pairs.1 * 2, task % pairs.1 * 2);
            let shape = ((self.x.lines - input).min(2), (self.gradient.lines - output).min(2));
            let a = Tiles { first: x.as_ptr().wrapping_add(input * TILE), next: TILE };
            let b = Tiles { first: gradient.as_ptr().wrapping_add(output * TILE), next: TILE };
            let ready = self.isa.ready();
            for (tap, steps) in steps.iter().enumerate() {
                let first = sums.pointer(tap * self.of_tap() + input * LINE * self.row() + output * LINE);
                let to = Target { first, row: self.row(), down: LINE * self.row(), right: LINE };
                // SAFETY: the asserts bound the tiles of all pixels, and the sums of all lines; tasks share none of these.
                unsafe { listed_product(shape, steps, a, b, to, onto) };
            }
            drop(ready);
        });
    }
}
