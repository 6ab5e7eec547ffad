//! Weight gradient: at each point, the sum over tiles of transformed inputs times transformed gradients.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{LINE, Products};
use super::lines::{Lines, point_stride};
use super::points::{Destination, Images, Kind, Summed, strip_len, transform_unit};
use super::tiling::{Tiling, UNIT_TILES, Unit};
use super::transform::POINTS;
use crate::conv::partials::sum_partials;
use crate::conv::shape::ConvShape;
use crate::output::{Shared, overwritable};
use crate::scratch;
use crate::simd::{Isa, Ready};

/// Up to this many weights, chunks of images are summed each for themselves; beyond, points are shared out.
const MAX_PARTIAL: usize = 128 * 128;

/// Chunks of images with sums of their own: the limit of parallel work, and fixed, because it decides the order of sums.
const CHUNKS: usize = 16;

/// Tiles of a chunk at least: fewer, and clearing and transforming its sums takes longer than its products.
const MIN_CHUNK_TILES: usize = 48;

/// Tiles that are multiplied at once where points are shared out.
const SHARED_TILES: usize = 512;

/// Tiles of a whole batch up to which input channels are shared out: more would not stay in the cache, transformed.
const MAX_FEW_TILES: usize = 256;

/// `out[o][c][ky][kx] = Σ gradient * x` over all images; writes all of `out`.
pub(crate) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    let pass = Pass {
        isa,
        functions: Lines::of(isa),
        products: Products::of(isa),
        tiling: Tiling::forward(s),
        x: Images { numbers: x, channels: s.in_channels, height: s.height, width: s.width },
        gradient: Images { numbers: gradient, channels: s.out_channels, height: s.out_height(), width: s.out_width() },
        lines: (s.in_channels.div_ceil(LINE), s.out_channels.div_ceil(LINE)),
    };
    let few_weights = s.in_channels * s.out_channels <= MAX_PARTIAL;
    let many_tiles = s.images * pass.tiling.per_image() >= CHUNKS * MIN_CHUNK_TILES;
    let few_tiles = s.images * pass.tiling.per_image() <= MAX_FEW_TILES;
    match () {
        () if few_weights && many_tiles => pass.sum_chunks(out),
        () if !few_weights && few_tiles => pass.share_channels(out),
        () => pass.share_points(out),
    }
}

struct Pass<'a> {
    isa: Isa,
    functions: &'static Lines,
    products: &'static Products,
    tiling: Tiling,
    x: Images<'a>,
    gradient: Images<'a>,
    /// Lines of input and of output channels.
    lines: (usize, usize),
}

impl Pass<'_> {
    /// Numbers between two points of the sums: a row of output lines per input channel.
    fn sums_stride(&self) -> usize {
        self.lines.0 * LINE * self.row() + LINE
    }

    fn row(&self) -> usize {
        self.lines.1 * LINE
    }

    fn sum_chunks(&self, out: &mut [MaybeUninit<f32>]) {
        sum_partials(CHUNKS, out, |chunk, partial| {
            let images = self.tiling.images * chunk / CHUNKS..self.tiling.images * (chunk + 1) / CHUNKS;
            self.sum_images(images, overwritable(partial));
        });
    }

    /// The gradient over some images alone.
    fn sum_images(&self, images: Range<usize>, out: &mut [MaybeUninit<f32>]) {
        if images.is_empty() {
            return out.fill(MaybeUninit::new(0.0));
        }
        let units = self.tiling.units(images, UNIT_TILES);
        let tiles = units.iter().map(|unit| unit.tiles(&self.tiling)).max().unwrap_or(0);
        let strip = units.iter().map(|unit| strip_len(&self.tiling, unit)).max().unwrap_or(0);
        let (v_len, z_len) = self.lens(tiles);
        let sums_len = POINTS * self.sums_stride();
        scratch::with(v_len + z_len + sums_len + strip, |memory| {
            let (v, rest) = memory.split_at_mut(v_len);
            let (z, rest) = rest.split_at_mut(z_len);
            let (sums, strip) = rest.split_at_mut(sums_len);
            for (index, unit) in units.iter().enumerate() {
                let tiles = unit.tiles(&self.tiling);
                self.transform(unit, 0, tiles, (&Shared::new(overwritable(v)), &Shared::new(overwritable(z))), strip);
                self.fill(tiles, v, z);
                self.points(0, tiles, v).for_each(|v| self.turn(v, tiles));
                let ready = self.isa.ready();
                for (point, sums) in sums.chunks_exact_mut(self.sums_stride()).enumerate() {
                    self.multiply(&ready, point, tiles, (v, z), sums, index > 0);
                }
                drop(ready);
            }
            for (line, out) in out.chunks_mut(LINE * self.x.channels * 9).enumerate() {
                self.write_line(sums, line, out);
            }
        });
    }

    /// Some hundred tiles are transformed by all threads, which then share the points; at last they share the channels.
    fn share_points(&self, out: &mut [MaybeUninit<f32>]) {
        let images = (SHARED_TILES / self.tiling.per_image()).max(1);
        let groups = (0..self.tiling.images).step_by(images);
        let groups: Vec<Group> =
            groups.map(|first| self.group(first..self.tiling.images.min(first + images))).collect();
        let (v_len, z_len) = self.lens(groups.iter().map(|group| group.tiles).max().unwrap_or(0));
        scratch::with(v_len + z_len + POINTS * self.sums_stride(), |memory| {
            let (v, rest) = memory.split_at_mut(v_len);
            let (z, sums) = rest.split_at_mut(z_len);
            for (index, group) in groups.iter().enumerate() {
                self.transform_group(group, v, z);
                sums.par_chunks_exact_mut(self.sums_stride()).enumerate().for_each(|(point, sums)| {
                    self.multiply(&self.isa.ready(), point, group.tiles, (v, z), sums, index > 0);
                });
            }
            let lines = out.par_chunks_mut(LINE * self.x.channels * 9).enumerate();
            lines.for_each(|(line, out)| self.write_line(sums, line, out));
        });
    }

    /// All tiles are transformed by all threads, which then share the input channels: the sums of a few channels stay in the
    /// cache until they are kernels. Worth it where the sums are many and the tiles few.
    fn share_channels(&self, out: &mut [MaybeUninit<f32>]) {
        let step = self.products.channel_step;
        let group = self.group(0..self.tiling.images);
        let tiles = group.tiles;
        let (v_len, z_len) = self.lens(tiles);
        scratch::with(v_len + z_len, |memory| {
            let (v, z) = memory.split_at_mut(v_len);
            self.transform_group(&group, v, z);
            let (v, z, out) = (&*v, &*z, Shared::new(out));
            let stride = step * self.row() + LINE;
            (0..self.x.channels.div_ceil(step)).into_par_iter().for_each(|task| {
                scratch::with(POINTS * stride, |sums: &mut [f32]| {
                    let ready = self.isa.ready();
                    for (point, sums) in sums.chunks_exact_mut(stride).enumerate() {
                        let channels = task * step..(task + 1) * step;
                        self.multiply_channels(&ready, point, channels, tiles, (v, z), sums, false);
                    }
                    drop(ready);
                    // SAFETY: tasks share no input channels.
                    unsafe { self.write_channels(sums, stride, task * step, &out) };
                });
            });
        });
    }

    /// Transforms the sums of a few input channels, from `first` on, back to 3×3 kernels.
    ///
    /// # Safety
    /// These channels belong to this task alone.
    unsafe fn write_channels(&self, sums: &[f32], stride: usize, first: usize, out: &Shared<'_, f32>) {
        let mut taps = [0.0; 9 * LINE];
        let (inputs, outputs) = (self.x.channels, self.gradient.channels);
        for line in 0..self.lines.1 {
            for channel in first..inputs.min(first + self.products.channel_step) {
                let from = &sums[(channel - first) * self.row() + line * LINE..];
                // SAFETY: `from` starts a line of the first point, the others follow at the stride; `taps` is nine lines.
                unsafe { (self.functions.points_to_kernel)(from.as_ptr(), stride, taps.as_mut_ptr()) };
                for (lane, o) in (line * LINE..outputs.min((line + 1) * LINE)).enumerate() {
                    // SAFETY: the caller's promise.
                    let kernel = unsafe { out.plane((o * inputs + channel) * 9, 9) };
                    kernel.iter_mut().enumerate().for_each(|(tap, out)| {
                        out.write(taps[tap * LINE + lane]);
                    });
                }
            }
        }
    }

    /// Cuts images into units, no two of which have tiles in the same number.
    fn group(&self, images: Range<usize>) -> Group {
        /// Tiles of one task.
        const TASK: usize = 16;
        let mut tiles = 0;
        let place = |unit: Unit| {
            let first = tiles;
            tiles += unit.tiles(&self.tiling).next_multiple_of(self.products.terms);
            (first, unit)
        };
        Group { units: self.tiling.units(images, TASK).into_iter().map(place).collect(), tiles }
    }

    fn transform_group(&self, group: &Group, v: &mut [f32], z: &mut [f32]) {
        let points = (Shared::new(overwritable(v)), Shared::new(overwritable(z)));
        group.units.par_iter().for_each(|(first, unit)| {
            scratch::with(strip_len(&self.tiling, unit), |strip| {
                self.transform(unit, *first, group.tiles, (&points.0, &points.1), strip);
            });
        });
        self.fill(group.tiles, v, z);
        if self.products.turn.is_some() {
            let stride = self.strides(group.tiles)[0];
            v.par_chunks_exact_mut(stride).take(POINTS).for_each(|v| self.turn(v, group.tiles));
        }
    }

    /// Writes the zeros that fill up the products' step behind the rows of `tiles` tiles.
    fn fill(&self, tiles: usize, v: &mut [f32], z: &mut [f32]) {
        let (rows, first) = (self.rows(tiles), tiles.div_ceil(self.products.terms));
        if rows == first {
            return;
        }
        for (side, points) in [v, z].into_iter().enumerate() {
            let lines = self.points(side, tiles, points).flat_map(|point| point.chunks_exact_mut(rows * LINE));
            lines.for_each(|line| line[first * LINE..].fill(0.0));
        }
    }

    /// The lines of each point of `tiles` transformed inputs (side 0) or gradients (1).
    fn points<'p>(
        &self,
        side: usize,
        tiles: usize,
        points: &'p mut [f32],
    ) -> impl Iterator<Item = &'p mut [f32]> + use<'p> {
        let stride = self.strides(tiles)[side];
        points.chunks_exact_mut(stride).take(POINTS).map(move |point| &mut point[..stride - LINE])
    }

    /// Turns the inputs of one point, where the products take them so.
    fn turn(&self, v: &mut [f32], tiles: usize) {
        let Some(turn) = self.products.turn else { return };
        let blocks = self.rows(tiles) / LINE * self.lines.0;
        assert!(blocks * LINE * LINE <= v.len());
        // SAFETY: the processor has the pass's instruction set; the assert bounds the blocks.
        unsafe { turn(blocks, v.as_mut_ptr()) };
    }

    /// Transforms a unit's inputs and gradients, whose tiles start with `first_tile` of `tiles`.
    fn transform(
        &self,
        unit: &Unit,
        first_tile: usize,
        tiles: usize,
        (v, z): (&Shared<'_, f32>, &Shared<'_, f32>),
        strip: &mut [f32],
    ) {
        let (summed, [v_stride, z_stride]) = (Summed::Tiles(self.rows(tiles)), self.strides(tiles));
        let to_v = Destination { points: v, stride: v_stride, summed, first_tile };
        let to_z = Destination { points: z, stride: z_stride, summed, first_tile };
        // SAFETY: units share no tiles, and the points have room for all of them.
        unsafe {
            transform_unit(self.functions, &self.tiling, unit, self.x, Kind::Window, to_v, strip);
            transform_unit(self.functions, &self.tiling, unit, self.gradient, Kind::Gradient, to_z, strip);
        }
    }

    /// Sums one point's products over `tiles` tiles, onto its sums before if `onto`.
    fn multiply(
        &self,
        ready: &Ready,
        point: usize,
        tiles: usize,
        factors: (&[f32], &[f32]),
        sums: &mut [f32],
        onto: bool,
    ) {
        self.multiply_channels(ready, point, 0..self.lines.0 * LINE, tiles, factors, sums, onto);
    }

    /// The same for some input channels, a whole number of the products' steps, whose rows of sums are `sums`.
    fn multiply_channels(
        &self,
        _: &Ready,
        point: usize,
        channels: Range<usize>,
        tiles: usize,
        (v, z): (&[f32], &[f32]),
        sums: &mut [f32],
        onto: bool,
    ) {
        let (rows, [v_stride, z_stride]) = (self.rows(tiles), self.strides(tiles));
        let v = &v[point * v_stride..][..rows * self.lines.0 * LINE];
        let z = &z[point * z_stride..][..rows * self.lines.1 * LINE];
        let step = self.products.channel_step;
        assert!(channels.len() * self.row() <= sums.len() && channels.end <= self.lines.0 * LINE);
        assert!(channels.start.is_multiple_of(step) && channels.len().is_multiple_of(step));
        for group in (0..self.lines.1).step_by(self.products.lines()) {
            let width = self.products.lines().min(self.lines.1 - group);
            let product = self.products.by_lines[width - 1].gradient;
            for channel in channels.clone().step_by(step) {
                let (line, lane) = (channel / LINE, channel % LINE);
                // SAFETY: the slices and the asserts bound all lines of all tiles, and the rows of the sums.
                unsafe {
                    product(
                        rows,
                        v.as_ptr().add(line * rows * LINE + lane),
                        z.as_ptr().add(group * rows * LINE),
                        rows * LINE,
                        sums.as_mut_ptr().add((channel - channels.start) * self.row() + group * LINE),
                        self.row(),
                        onto,
                    );
                }
            }
        }
    }

    /// Numbers along the sum over `tiles` tiles, and those that fill up the products' step.
    fn rows(&self, tiles: usize) -> usize {
        tiles.div_ceil(self.products.terms).next_multiple_of(self.products.step)
    }

    /// Numbers between two points of `tiles` transformed inputs and of gradients.
    fn strides(&self, tiles: usize) -> [usize; 2] {
        [self.lines.0, self.lines.1].map(|lines| point_stride(self.rows(tiles) * lines * LINE))
    }

    /// Numbers of all points of `tiles` transformed inputs and of gradients.
    fn lens(&self, tiles: usize) -> (usize, usize) {
        let [v, z] = self.strides(tiles);
        (POINTS * v, POINTS * z)
    }

    /// Transforms the sums of one line of output channels back to 3×3 kernels.
    fn write_line(&self, sums: &[f32], line: usize, out: &mut [MaybeUninit<f32>]) {
        let mut taps = [0.0; 9 * LINE];
        let channels = self.x.channels;
        for c in 0..channels {
            let from = &sums[c * self.row() + line * LINE..];
            // SAFETY: `from` starts a line of the first point, the others follow at the stride; `taps` is nine lines.
            unsafe { (self.functions.points_to_kernel)(from.as_ptr(), self.sums_stride(), taps.as_mut_ptr()) };
            for (lane, out) in out.chunks_exact_mut(channels * 9).enumerate() {
                for (tap, out) in out[c * 9..][..9].iter_mut().enumerate() {
                    out.write(taps[tap * LINE + lane]);
                }
            }
        }
    }
}

/// Images whose tiles are multiplied together.
struct Group {
    /// Each with its first tile.
    units: Vec<(usize, Unit)>,
    /// Tiles, those included that only fill a unit's last number.
    tiles: usize,
}
