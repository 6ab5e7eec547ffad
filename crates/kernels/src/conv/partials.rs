//! Sums over the images of a batch by several tasks, always in the same order.

use std::mem::MaybeUninit;

use rayon::prelude::*;

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
