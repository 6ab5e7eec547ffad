//! From images to transformed tiles, and from transformed tiles to images.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::kernel::{self, LINE};
use super::lines::{Lines, Strip};
use super::tiling::{TILE, Tiling, Unit};
use super::transform::POINTS;
use crate::epilogue::Finish;
use crate::output::Shared;

/// Where each tile's lines lie at a point: tiles are cut into panels, in which the lines of a channel line lie together.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    tiles: usize,
    count: usize,
    /// Most tiles of a panel.
    limit: usize,
    /// Neighbouring channels that one number holds.
    terms: usize,
    /// Whether all panels but the last are full, and lie in blocks of [`LINE`] tiles whose lines are side by side, two by two.
    in_blocks: bool,
}

impl Panels {
    /// Cuts `tiles` tiles into panels for `products`: nearly equal ones, or whole blocks.
    pub(super) fn new(products: &kernel::Products, tiles: usize) -> Self {
        let (limit, terms, in_blocks) = (products.tiles(), products.terms, products.in_blocks());
        Self { tiles, count: tiles.div_ceil(limit).max(1), limit, terms, in_blocks }
    }

    /// The panels' tiles.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<usize>> + use<'_> {
        (0..self.count).map(|panel| self.panel(panel))
    }

    fn panel(&self, panel: usize) -> Range<usize> {
        if self.in_blocks {
            return panel * self.limit..self.tiles.min((panel + 1) * self.limit);
        }
        self.tiles * panel / self.count..self.tiles * (panel + 1) / self.count
    }

    /// The panel of `tile`.
    fn of(&self, tile: usize) -> Range<usize> {
        if self.in_blocks {
            return self.panel(tile / self.limit);
        }
        // The last panel that starts at or before the tile.
        self.panel(((tile + 1) * self.count - 1) / self.tiles)
    }

    /// Tiles with those that only fill the last block.
    pub(super) fn room(&self) -> usize {
        if self.in_blocks { self.tiles.next_multiple_of(LINE) } else { self.tiles }
    }

    /// Numbers of `tiles` tiles, a number of whole panels or all the [room](Self::room), with `lines` lines each.
    pub(super) fn numbers(&self, tiles: usize, lines: usize) -> usize {
        let lines = if self.in_blocks { lines.next_multiple_of(2) } else { lines };
        tiles * lines * LINE / self.terms
    }

    /// First number of `tile`'s line `line`, of `lines`.
    fn offset(&self, tile: usize, line: usize, lines: usize) -> usize {
        if self.in_blocks {
            let (block, pair) = (tile / LINE * LINE, line / 2 * 2);
            return self.numbers(block, lines) + ((pair * LINE + (tile - block) * 2 + line - pair) * LINE) / self.terms;
        }
        let panel = self.of(tile);
        (panel.start * lines + line * panel.len() + tile - panel.start) * LINE / self.terms
    }

    /// The line, if any, that only fills up the last of `lines` lines.
    fn filling(&self, lines: usize) -> Option<usize> {
        (self.in_blocks && !lines.is_multiple_of(2)).then_some(lines)
    }
}

/// Images of a pass and how to reach them.
#[derive(Clone, Copy)]
pub(in crate::conv) struct Images<'a> {
    pub(in crate::conv) numbers: &'a [f32],
    pub(in crate::conv) channels: usize,
    pub(in crate::conv) height: usize,
    pub(in crate::conv) width: usize,
}

impl Images<'_> {
    fn lines(&self) -> usize {
        self.channels.div_ceil(LINE)
    }

    /// Lays out rows `rows` of an image's channel line as lines of channels.
    pub(in crate::conv) fn load(
        &self,
        functions: &Lines,
        image: usize,
        line: usize,
        rows: &Range<usize>,
        strip: &mut [f32],
    ) {
        let plane = self.height * self.width;
        let channels = (self.channels - line * LINE).min(LINE);
        let first = (image * self.channels + line * LINE) * plane + rows.start * self.width;
        let pixels = rows.len() * self.width;
        assert!(first + (channels - 1) * plane + pixels <= self.numbers.len() && pixels * LINE <= strip.len());
        // SAFETY: the assert bounds the planes and the strip.
        unsafe {
            (functions.from_planes)(self.numbers.as_ptr().add(first), plane, channels, pixels, strip.as_mut_ptr());
        }
    }
}

/// Which of a tile's two transforms to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 6×6 windows of the input of a product.
    Window,
    /// 4×4 tiles of an output's gradient.
    Gradient,
}

/// What the products sum over, and so how transformed tiles lie.
#[derive(Clone, Copy)]
pub(super) enum Summed<'a> {
    /// Channels: tiles are cut into panels, in which the lines of a channel line lie together.
    Channels(&'a Panels),
    /// Tiles: those of a channel line lie in one row of so many lines, where one number may hold several neighbours.
    Tiles(usize),
}

impl Summed<'_> {
    /// First number of `tile`'s line `line`, of `lines`, where a number holds `terms` neighbours along the sum.
    fn offset(&self, terms: usize, tile: usize, line: usize, lines: usize) -> usize {
        match self {
            Self::Channels(panels) => panels.offset(tile, line, lines),
            Self::Tiles(rows) => (line * rows + tile / terms) * LINE,
        }
    }
}

/// Where transformed tiles go.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) points: &'a Shared<'a, f32>,
    /// Distance of two points.
    pub(super) stride: usize,
    pub(super) summed: Summed<'a>,
    /// Number of the unit's first tile among all; where sums run over tiles, no number holds tiles of two units.
    pub(super) first_tile: usize,
}

/// Transforms all channels of a unit's tiles.
///
/// # Safety
/// The unit's tiles at the destination belong to this task alone, and lie inside it.
pub(super) unsafe fn transform_unit(
    functions: &Lines,
    tiling: &Tiling,
    unit: &Unit,
    images: Images<'_>,
    kind: Kind,
    to: Destination<'_>,
    strip: &mut [f32],
) {
    let rows = match kind {
        Kind::Window => tiling.input_rows(unit),
        Kind::Gradient => tiling.output_rows(unit),
    };
    let shape = Strip { first: rows.start, rows: rows.len(), width: images.width };
    let tiles_per_image = unit.rows.len() * tiling.columns();
    // SAFETY: the unit's tiles are this task's, also in a line that only fills up another.
    unsafe { fill_lines(unit.tiles(tiling), images.lines(), to) };
    for line in 0..images.lines() {
        for (index, image) in unit.images.clone().enumerate() {
            images.load(functions, image, line, &rows, strip);
            for tile in 0..tiles_per_image {
                let (row, column) = (unit.rows.start + tile / tiling.columns(), tile % tiling.columns());
                let number = to.first_tile + index * tiles_per_image + tile;
                let out = to.points.pointer(to.summed.offset(functions.terms(), number, line, images.lines()));
                let place = (row * TILE, column * TILE);
                let padded = (place.0 as isize - tiling.padding as isize, place.1 as isize - tiling.padding as isize);
                let term = number % functions.terms();
                // SAFETY: the strip holds the rows that the unit's tiles read; the caller vouches for the destination.
                unsafe {
                    match (kind, to.summed) {
                        (Kind::Window, Summed::Channels(_)) => {
                            (functions.window_to_points_along)(strip.as_ptr(), shape, padded, out, to.stride);
                        }
                        (Kind::Window, Summed::Tiles(_)) => {
                            (functions.window_to_points[term])(strip.as_ptr(), shape, padded, out, to.stride);
                        }
                        (Kind::Gradient, _) => {
                            (functions.tile_to_points[term])(strip.as_ptr(), shape, place, out, to.stride);
                        }
                    }
                }
            }
        }
    }
}

/// Writes zeros to the line of `tiles` tiles that only fills up another, if there is one.
///
/// # Safety
/// As [`transform_unit`].
unsafe fn fill_lines(tiles: usize, lines: usize, to: Destination<'_>) {
    let Summed::Channels(panels) = to.summed else { return };
    let Some(line) = panels.filling(lines) else { return };
    for tile in to.first_tile..to.first_tile + tiles {
        for point in 0..POINTS {
            let at = point * to.stride + panels.offset(tile, line, lines);
            // SAFETY: the caller's promise.
            unsafe { to.points.plane(at, LINE / panels.terms).fill(MaybeUninit::new(0.0)) };
        }
    }
}

/// Numbers of working memory for one image's strip of a unit, whichever way it goes.
pub(super) fn strip_len(tiling: &Tiling, unit: &Unit) -> usize {
    let input = tiling.input_rows(unit).len() * tiling.in_width;
    let output = tiling.output_rows(unit).len() * tiling.out_width;
    input.max(output) * LINE
}

/// The output of a pass.
#[derive(Clone, Copy)]
pub(in crate::conv) struct Output<'a> {
    pub(in crate::conv) numbers: &'a Shared<'a, f32>,
    pub(in crate::conv) channels: usize,
    pub(in crate::conv) finish: Finish<'a, f32>,
}

/// Where a unit's products lie: at each point the lines of its tiles, one channel line after the other.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    pub(super) points: &'a [f32],
    pub(super) stride: usize,
    /// Tiles per channel line.
    pub(super) tiles: usize,
    /// Channel line that the first lines belong to.
    pub(super) first_line: usize,
    pub(super) lines: usize,
}

/// Transforms a unit's products back and writes the output's rows.
///
/// # Safety
/// The unit's rows of the products' channels belong to this task alone.
pub(super) unsafe fn write_unit(
    functions: &Lines,
    tiling: &Tiling,
    unit: &Unit,
    products: Products<'_>,
    output: Output<'_>,
    strip: &mut [f32],
) {
    let rows = tiling.output_rows(unit);
    let shape = Strip { first: rows.start, rows: rows.len(), width: tiling.out_width };
    let (strip, planes) = strip.split_at_mut(shape.len());
    let tiles_per_image = unit.rows.len() * tiling.columns();
    for index in 0..products.lines {
        for (within, image) in unit.images.clone().enumerate() {
            for tile in 0..tiles_per_image {
                let (row, column) = (unit.rows.start + tile / tiling.columns(), tile % tiling.columns());
                let from = &products.points[(index * products.tiles + within * tiles_per_image + tile) * LINE..];
                // SAFETY: `from` starts a line of the first point; the others follow at the stride; the strip is the unit's.
                unsafe {
                    let place = (row * TILE, column * TILE);
                    (functions.points_to_tile)(from.as_ptr(), products.stride, strip.as_mut_ptr(), shape, place);
                }
            }
            // SAFETY: the caller's promise.
            unsafe {
                let plane = (tiling.out_height, tiling.out_width);
                output.write_line(functions, plane, (image, products.first_line + index), &rows, strip, planes);
            }
        }
    }
}

impl Output<'_> {
    /// Writes rows `rows` of one image's channel line from the strip of its lines; `plane` is height and width of the image, and
    /// `planes` room for what the strip holds.
    ///
    /// # Safety
    /// These rows belong to this task alone.
    pub(in crate::conv) unsafe fn write_line(
        &self,
        functions: &Lines,
        plane: (usize, usize),
        (image, line): (usize, usize),
        rows: &Range<usize>,
        strip: &[f32],
        planes: &mut [f32],
    ) {
        let ((height, width), channels) = (plane, (self.channels - line * LINE).min(LINE));
        let (plane, pixels) = (height * width, rows.len() * width);
        let place = |channel: usize| (image * self.channels + line * LINE + channel) * plane + rows.start * width;
        assert!(pixels * LINE <= strip.len());
        if self.finish.is_none() {
            // SAFETY: `channels` runs of `pixels` numbers at `place(..)`, `plane` apart, lie inside the output and are ours.
            unsafe {
                (functions.to_planes)(strip.as_ptr(), pixels, self.numbers.pointer(place(0)), plane, channels);
            }
            return;
        }
        assert!(channels * pixels <= planes.len());
        // SAFETY: the assert bounds the planes.
        unsafe { (functions.to_planes)(strip.as_ptr(), pixels, planes.as_mut_ptr(), pixels, channels) };
        for (channel, from) in planes.chunks_exact(pixels).take(channels).enumerate() {
            // SAFETY: the caller's promise.
            let out = unsafe { self.numbers.plane(place(channel), pixels) };
            self.finish.write_run(place(channel), line * LINE + channel, from, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashSet;

    use crate::simd::Isa;

    /// Panels of every instruction set.
    fn panels(tiles: usize) -> Vec<Panels> {
        let isas = Isa::available().into_iter().chain(Isa::available_for_bf16());
        isas.map(|isa| Panels::new(kernel::Products::of(isa), tiles)).collect()
    }

    #[test]
    fn every_tile_is_in_the_panel_that_lists_it() {
        for panels in (1..200).flat_map(panels) {
            let mut next = 0;
            for panel in panels.iter() {
                assert!(panel.start == next && panel.len() <= panels.limit && !panel.is_empty());
                panel.clone().for_each(|tile| assert_eq!(panels.of(tile), panel));
                next = panel.end;
            }
            assert_eq!(next, panels.tiles);
        }
    }

    #[test]
    fn no_two_lines_of_tiles_share_a_number() {
        for panels in [1, 15, 16, 17, 40, 70].into_iter().flat_map(panels) {
            for lines in 1..4 {
                let mut taken = HashSet::new();
                for (tile, line) in (0..panels.tiles).flat_map(|tile| (0..lines).map(move |line| (tile, line))) {
                    let first = panels.offset(tile, line, lines);
                    assert!((first..first + LINE / panels.terms).all(|number| taken.insert(number)));
                }
                assert!(taken.iter().all(|&number| number < panels.numbers(panels.room(), lines)));
            }
        }
    }
}
