//! The weights as a pass reads them: tiles of 16 pairs of channels by 16 computed channels.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::conv::shape::ConvShape;
use crate::conv::winograd::LINE;
use crate::output::Aligned;
use crate::simd::pairs;
use crate::simd::tiles::TILE;

/// Summed channels of a tile.
pub(super) const DEPTH: usize = 2 * LINE;

/// The weights of a pass: for each line of computed channels, for each tap, the tiles of its summed channels.
pub(super) struct Weights {
    pub(super) numbers: Aligned,
    pub(super) summed: usize,
    pub(super) computed: usize,
    pub(super) taps: usize,
}

impl Weights {
    /// Sums over input channels.
    pub(super) fn forward(s: &ConvShape, numbers: &[f32]) -> Self {
        let filter = s.in_channels * s.taps();
        Self::pack((s.in_channels, s.taps()), (s.out_channels, filter), s.taps(), numbers)
    }

    /// Sums over output channels.
    pub(super) fn backward(s: &ConvShape, numbers: &[f32]) -> Self {
        let filter = s.in_channels * s.taps();
        Self::pack((s.out_channels, filter), (s.in_channels, s.taps()), s.taps(), numbers)
    }

    /// Steps of 32 summed channels.
    pub(super) fn depth(&self) -> usize {
        self.summed.div_ceil(DEPTH)
    }

    /// Lines of computed channels.
    pub(super) fn lines(&self) -> usize {
        self.computed.div_ceil(LINE)
    }

    /// Numbers of a line of computed channels.
    pub(super) fn line_len(&self) -> usize {
        self.taps * self.depth() * TILE
    }

    /// Packs weights, of which summed and computed channels have so many and lie so far apart.
    fn pack(
        (summed, summed_stride): (usize, usize),
        (computed, computed_stride): (usize, usize),
        taps: usize,
        weight: &[f32],
    ) -> Self {
        let depth = summed.div_ceil(DEPTH);
        let tile = |index: usize, to: &mut [MaybeUninit<f32>]| {
            let (line, tap, first) = (index / (taps * depth), index / depth % taps, index % depth * DEPTH);
            let row_of = |channel: usize| {
                let mut row = [0.0; LINE];
                if channel < summed {
                    let lanes = row.iter_mut().zip(line * LINE..computed);
                    lanes.for_each(|(lane, o)| *lane = weight[channel * summed_stride + o * computed_stride + tap]);
                }
                row
            };
            for (pair, to) in to.chunks_exact_mut(LINE).enumerate() {
                let (first, second) = (row_of(first + 2 * pair), row_of(first + 2 * pair + 1));
                // SAFETY: a processor with AMX has the instructions; all are a vector long.
                unsafe { pairs::join(first.as_ptr(), second.as_ptr(), LINE, to.as_mut_ptr().cast()) };
            }
        };
        let len = computed.div_ceil(LINE) * taps * depth * TILE;
        let pack = |numbers: &mut [MaybeUninit<f32>]| {
            numbers.par_chunks_exact_mut(TILE).enumerate().for_each(|(index, to)| tile(index, to));
        };
        // SAFETY: the tiles cover the numbers, and each is written.
        Self { numbers: unsafe { Aligned::written(len, pack) }, summed, computed, taps }
    }
}
