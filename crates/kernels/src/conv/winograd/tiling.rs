//! How images are cut into 4×4 tiles of outputs, and tiles into units of work.

use std::ops::Range;

use crate::conv::shape::ConvShape;

/// Outputs per tile and axis.
pub(super) const TILE: usize = 4;

/// Inputs per tile and axis.
pub(super) const WINDOW: usize = 6;

/// Tiles that one task takes from the images to its sums. All of a layer's weights, or sums of weights, are read for each unit: with fewer
/// tiles that takes longer than their products from 128 channels on, whose weights no second-level cache holds.
pub(super) const UNIT_TILES: usize = 64;

/// One 3×3 convolution of stride 1, of channels that are all computed or all read: sizes of a forward pass or of an input
/// gradient, which is the same with inputs and outputs exchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    pub(super) images: usize,
    pub(super) in_height: usize,
    pub(super) in_width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    pub(super) padding: usize,
}

impl Tiling {
    /// Sizes of the forward pass, and of the weight gradient.
    pub(super) fn forward(s: &ConvShape) -> Self {
        Self {
            images: s.images,
            in_height: s.height,
            in_width: s.width,
            out_height: s.out_height(),
            out_width: s.out_width(),
            padding: s.padding,
        }
    }

    /// Sizes of the input gradient, which reads the output's gradient.
    pub(super) fn backward(s: &ConvShape) -> Self {
        Self {
            images: s.images,
            in_height: s.out_height(),
            in_width: s.out_width(),
            out_height: s.height,
            out_width: s.width,
            padding: s.kernel - 1 - s.padding,
        }
    }

    /// Rows of tiles of an image.
    pub(super) fn rows(&self) -> usize {
        self.out_height.div_ceil(TILE)
    }

    /// Tiles of a row.
    pub(super) fn columns(&self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    /// Tiles of an image.
    pub(super) fn per_image(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Cuts all tiles into units of about `tiles` tiles: several images, or some rows of tiles of one image. Sizes alone
    /// decide how.
    pub(super) fn units(&self, images: Range<usize>, tiles: usize) -> Vec<Unit> {
        if self.per_image() > tiles {
            let parts = self.per_image().div_ceil(tiles).min(self.rows());
            let rows = |part: usize| self.rows() * part / parts..self.rows() * (part + 1) / parts;
            let strips = |image: usize| (0..parts).map(move |part| Unit { images: image..image + 1, rows: rows(part) });
            return images.flat_map(strips).collect();
        }
        let count = images.len().div_ceil((tiles / self.per_image()).max(1));
        let part = |index: usize| images.start + images.len() * index / count;
        (0..count).map(|index| Unit { images: part(index)..part(index + 1), rows: 0..self.rows() }).collect()
    }

    /// Rows of the input that a unit reads.
    pub(super) fn input_rows(&self, unit: &Unit) -> Range<usize> {
        let start = (unit.rows.start * TILE).saturating_sub(self.padding);
        let end = (unit.rows.end * TILE + WINDOW - TILE).saturating_sub(self.padding).min(self.in_height);
        start.min(end)..end
    }

    /// Rows of the output that a unit writes.
    pub(super) fn output_rows(&self, unit: &Unit) -> Range<usize> {
        unit.rows.start * TILE..(unit.rows.end * TILE).min(self.out_height)
    }
}

/// Tiles that are worked on together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) images: Range<usize>,
    /// Rows of tiles in each image.
    pub(super) rows: Range<usize>,
}

impl Unit {
    /// Number of tiles.
    pub(super) fn tiles(&self, tiling: &Tiling) -> usize {
        self.images.len() * self.rows.len() * tiling.columns()
    }
}
