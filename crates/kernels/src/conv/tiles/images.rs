//! Some rows of 16 images as tiles: at each pixel a row per image.

use std::ops::Range;

use super::axis::Axis;
use super::weights::DEPTH;
use crate::conv::winograd::{Images, LINE, Lines};
use crate::simd::pairs;
use crate::simd::tiles::{ROWS, TILE};

/// Where the tiles of a group of images lie: row after row, with columns of zeros on both sides.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    before: usize,
    width: usize,
    behind: usize,
    /// Tiles of a pixel.
    depth: usize,
}

impl Layout {
    /// For what `columns` reads of `channels` channels.
    pub(super) fn new(columns: &Axis, channels: usize) -> Self {
        let (before, behind) = columns.margins();
        Self { before, width: columns.sources, behind, depth: channels.div_ceil(DEPTH) }
    }

    /// Numbers from one pixel to the next. A cache line more than needed: tiles a power of two apart share their cache sets.
    pub(super) fn pixel(&self) -> usize {
        self.depth * TILE + LINE
    }

    /// Numbers of a row.
    pub(super) fn row(&self) -> usize {
        (self.before + self.width + self.behind) * self.pixel()
    }

    /// First number of the pixel in `row` and `column`, which may be in a margin.
    pub(super) fn place(&self, row: usize, column: isize) -> usize {
        row * self.row() + (column + self.before as isize) as usize * self.pixel()
    }

    /// Working memory that [`Self::fill`] needs for `rows` rows.
    pub(super) fn memory(&self, rows: usize) -> usize {
        2 * rows * self.width * LINE
    }

    /// Lays out rows `rows` of images `images`, at most 16. What lies in the rows of absent images stays.
    pub(super) fn fill(
        &self,
        functions: &Lines,
        source: Images<'_>,
        images: Range<usize>,
        rows: &Range<usize>,
        to: &mut [f32],
        memory: &mut [f32],
    ) {
        assert!(images.len() <= ROWS && rows.len() * self.row() <= to.len());
        if rows.is_empty() {
            return;
        }
        for row in to.chunks_exact_mut(self.row()).take(rows.len()) {
            let (before, rest) = row.split_at_mut(self.before * self.pixel());
            before.fill(0.0);
            rest[self.width * self.pixel()..].fill(0.0);
        }
        let (first, second) = memory[..self.memory(rows.len())].split_at_mut(rows.len() * self.width * LINE);
        for (within, image) in images.enumerate() {
            for step in 0..self.depth {
                source.load(functions, image, 2 * step, rows, first);
                if 2 * step + 1 < source.channels.div_ceil(LINE) {
                    source.load(functions, image, 2 * step + 1, rows, second);
                } else {
                    second.fill(0.0);
                }
                for row in 0..rows.len() {
                    let (from, at) = (row * self.width * LINE, self.place(row, 0) + step * TILE + within * LINE);
                    // SAFETY: a processor with AMX has the instructions; the strips hold the row's lines, and by the assert `to` has the
                    // row of each of its pixels' tiles.
                    unsafe {
                        let (first, second) = (first.as_ptr().add(from), second.as_ptr().add(from));
                        pairs::side_by_side(first, second, self.width, to.as_mut_ptr().add(at), self.pixel());
                    }
                }
            }
        }
    }
}
