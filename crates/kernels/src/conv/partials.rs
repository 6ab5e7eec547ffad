//! Sums over the images of a batch by several tasks, always in the same order, and the order in which they become weights.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::shape::ConvShape;
use super::winograd::LINE;
use crate::output::cleared;
use crate::scratch;

/// Sets `out` to the sum, in order, of `chunks` partial sums; `compute(chunk, partial)` sets each, from arbitrary content.
pub(crate) fn sum_partials(chunks: usize, out: &mut [MaybeUninit<f32>], compute: impl Fn(usize, &mut [f32]) + Sync) {
    /// Numbers that one task adds up.
    const BLOCK: usize = 1024;
    let len = out.len();
    scratch::with(chunks * len, |partials: &mut [f32]| {
        partials.par_chunks_exact_mut(len).enumerate().for_each(|(chunk, partial)| compute(chunk, partial));
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
            let out = cleared(out);
            for partial in partials.chunks_exact(len) {
                out.iter_mut().zip(&partial[block * BLOCK..]).for_each(|(out, &partial)| *out += partial);
            }
        });
    });
}

/// Brings sums into the order of the weights: for each tap, `of_tap` apart, and each input channel, `row` apart, they have a row of output
/// channels.
pub(crate) fn in_order(s: &ConvShape, sums: &[f32], row: usize, of_tap: usize, out: &mut [MaybeUninit<f32>]) {
    let filter = s.in_channels * s.taps();
    out.par_chunks_mut(LINE * filter).enumerate().for_each(|(line, out)| {
        // In blocks of input channels whose sums stay in the cache while one filter after the other is written.
        for block in (0..s.in_channels).step_by(LINE) {
            for (lane, out) in out.chunks_exact_mut(filter).enumerate() {
                let kernels = out.chunks_exact_mut(s.taps()).enumerate().skip(block).take(LINE);
                for (c, kernel) in kernels {
                    let from = &sums[c * row + line * LINE + lane..];
                    kernel.iter_mut().enumerate().for_each(|(tap, out)| {
                        out.write(from[tap * of_tap]);
                    });
                }
            }
        }
    });
}
