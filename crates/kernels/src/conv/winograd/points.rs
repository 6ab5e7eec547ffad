//! From images to transformed tiles, and from transformed tiles to images.

use std::ops::Range;

use super::kernel::LINE;
use super::lines::{Lines, Strip};
use super::tiling::{TILE, Tiling, Unit};
use crate::epilogue::Finish;
use crate::output::Shared;

/// Where each tile's lines lie at a point: tiles are cut into panels, in which the lines of a channel line lie together.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    tiles: usize,
    count: usize,
}

impl Panels {
    /// Cuts `tiles` tiles into nearly equal panels of at most `limit`.
    pub(super) fn new(tiles: usize, limit: usize) -> Self {
        Self { tiles, count: tiles.div_ceil(limit).max(1) }
    }

    /// The panels' tiles.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { tiles, count } = *self;
        (0..count).map(move |panel| tiles * panel / count..tiles * (panel + 1) / count)
    }

    /// The panel of `tile`.
    fn of(&self, tile: usize) -> Range<usize> {
        // The last panel that starts at or before the tile.
        let panel = ((tile + 1) * self.count - 1) / self.tiles;
        self.tiles * panel / self.count..self.tiles * (panel + 1) / self.count
    }

    /// First number of `tile`'s line `line`, of `lines`.
    fn offset(&self, tile: usize, line: usize, lines: usize) -> usize {
        let panel = self.of(tile);
        (panel.start * lines + line * panel.len() + tile - panel.start) * LINE
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
    /// So many tiles: those of a channel line lie in one row, where one number may hold several neighbours.
    Tiles(usize),
}

impl Summed<'_> {
    /// First number of `tile`'s line `line`, of `lines`, where a number holds `terms` neighbours along the sum.
    fn offset(&self, terms: usize, tile: usize, line: usize, lines: usize) -> usize {
        match self {
            Self::Channels(panels) => panels.offset(tile, line, lines) / terms,
            Self::Tiles(tiles) => (line * tiles.div_ceil(terms) + tile / terms) * LINE,
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

/// Numbers of working memory for one image's strip of a unit, whichever way it goes.
pub(super) fn strip_len(tiling: &Tiling, unit: &Unit) -> usize {
    let input = tiling.input_rows(unit).len() * tiling.in_width;
    let output = tiling.output_rows(unit).len() * tiling.out_width;
    input.max(output) * LINE
}

/// The output of a pass.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) numbers: &'a Shared<'a, f32>,
    pub(super) channels: usize,
    pub(super) finish: Finish<'a, f32>,
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
                write_line(functions, tiling, output, (image, products.first_line + index), &rows, strip, planes)
            };
        }
    }
}

/// Writes rows `rows` of one image's channel line from the strip of its lines.
///
/// # Safety
/// These rows belong to this task alone.
unsafe fn write_line(
    functions: &Lines,
    tiling: &Tiling,
    output: Output<'_>,
    (image, line): (usize, usize),
    rows: &Range<usize>,
    strip: &[f32],
    planes: &mut [f32],
) {
    let plane = tiling.out_height * tiling.out_width;
    let channels = (output.channels - line * LINE).min(LINE);
    let pixels = rows.len() * tiling.out_width;
    let place =
        |channel: usize| (image * output.channels + line * LINE + channel) * plane + rows.start * tiling.out_width;
    if output.finish.is_none() {
        // SAFETY: `channels` runs of `pixels` numbers at `place(..)`, `plane` apart, lie inside the output and are ours.
        unsafe {
            (functions.to_planes)(strip.as_ptr(), pixels, output.numbers.pointer(place(0)), plane, channels);
        }
        return;
    }
    assert!(channels * pixels <= planes.len());
    // SAFETY: the assert bounds the planes.
    unsafe { (functions.to_planes)(strip.as_ptr(), pixels, planes.as_mut_ptr(), pixels, channels) };
    for (channel, from) in planes.chunks_exact(pixels).take(channels).enumerate() {
        // SAFETY: the caller's promise.
        let out = unsafe { output.numbers.plane(place(channel), pixels) };
        output.finish.write_run(place(channel), line * LINE + channel, from, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_in_the_panel_that_lists_it() {
        for tiles in 1..200 {
            for limit in [1, 2, 6, 14] {
                let panels = Panels::new(tiles, limit);
                for panel in panels.iter() {
                    assert!(panel.len() <= limit && !panel.is_empty());
                    panel.clone().for_each(|tile| assert_eq!(panels.of(tile), panel));
                }
            }
        }
    }
}
