//! Convolution with 1×1 kernels and stride 1: in every image one matrix product, weights times planes.
//!
//! There is no padding, so blocks of pixels are packed straight from the image, and products without a finish are written
//! straight to the output. Planes must be whole blocks.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::kernel::Kernels;
use super::packing::{MAX_BLOCK, PACKED_NUMBERS};
use super::panels::Panels;
use crate::conv::shape::ConvShape;
use crate::epilogue::Finish;
use crate::output::Shared;
use crate::scratch;
use crate::simd::Ready;

/// Tasks of a batch at least, so that there is parallel work.
const MIN_TASKS: usize = 16;

/// Whether this is such a convolution, of whole blocks of pixels.
pub(super) fn suits(kernels: &Kernels, s: &ConvShape) -> bool {
    (s.kernel, s.stride, s.padding) == (1, 1, 0) && s.in_plane().is_multiple_of(kernels.block())
}

/// `out = finish(weights x)` for every image; writes all of `out`. `s` is the convolution that has these weights, which for an
/// input gradient is the transposed one.
pub(super) fn run(
    kernels: &Kernels,
    s: &ConvShape,
    x: &[f32],
    weights: &Panels,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let (block, plane) = (kernels.block(), s.in_plane());
    let blocks = plane / block;
    let at_once = (PACKED_NUMBERS / (s.in_channels * block)).min(s.images * blocks / MIN_TASKS).clamp(1, blocks);
    let chunks = blocks.div_ceil(at_once);
    let out = Shared::new(out);
    (0..s.images * chunks).into_par_iter().for_each(|task| {
        let (image, first) = (task / chunks, task % chunks * at_once * block);
        let last = plane.min(first + at_once * block);
        let part = Part { kernels, s, weights, finish, image, first, last };
        // SAFETY: tasks share no pixels.
        unsafe { part.run(&x[image * s.in_channels * plane..][..s.in_channels * plane], &out) };
    });
}

/// Pixels `first..last` of one image.
struct Part<'a> {
    kernels: &'a Kernels,
    s: &'a ConvShape,
    weights: &'a Panels,
    finish: Finish<'a, f32>,
    image: usize,
    first: usize,
    last: usize,
}

impl Part<'_> {
    /// # Safety
    /// These pixels of the output belong to this task alone.
    unsafe fn run(&self, x: &[f32], out: &Shared<'_, f32>) {
        let pixels = self.last - self.first;
        let packed_len = self.rows() * pixels;
        let memory = if self.finish.is_none() { 0 } else { self.weights.memory(self.kernels, pixels) };
        scratch::with(packed_len + memory, |scratch| {
            let (packed, memory) = scratch.split_at_mut(packed_len);
            self.pack(x, packed);
            let ready = self.kernels.isa.ready();
            for panel in 0..self.weights.count() {
                // SAFETY: the caller's promise.
                unsafe { self.panel(&ready, panel, packed, memory, out) };
            }
            drop(ready);
        });
    }

    /// Packed rows of a block: one for each input channel, or pair of them, and rows of zeros up to the products' step.
    fn rows(&self) -> usize {
        self.kernels.packed_rows(self.s.in_channels)
    }

    /// Brings the pixels into blocks, all channels of a block together.
    fn pack(&self, x: &[f32], packed: &mut [f32]) {
        let (block, plane) = (self.kernels.block(), self.s.in_plane());
        let (row_len, zeros) = (self.rows() * block, [0.0; MAX_BLOCK]);
        for (row, x) in x.chunks(self.kernels.terms() * plane).enumerate() {
            let blocks = packed.chunks_exact_mut(row_len).map(|packed| &mut packed[row * block..][..block]);
            let pixels = (self.first..self.last).step_by(block);
            for (to, pixel) in blocks.zip(pixels) {
                let first = &x[pixel..][..block];
                let Some(join) = self.kernels.join else {
                    to.copy_from_slice(first);
                    continue;
                };
                // The last of an odd number of channels has no partner.
                let second = if x.len() > plane { &x[plane + pixel..][..block] } else { &zeros[..block] };
                // SAFETY: the kernels belong to this processor; a block is a whole number of its vectors.
                unsafe { join(first.as_ptr(), second.as_ptr(), block, to.as_mut_ptr()) };
            }
        }
        let present = self.s.in_channels.div_ceil(self.kernels.terms()) * block;
        packed.chunks_exact_mut(row_len).for_each(|packed| packed[present..].fill(0.0));
    }

    /// One panel of output channels.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn panel(&self, ready: &Ready, panel: usize, packed: &[f32], memory: &mut [f32], out: &Shared<'_, f32>) {
        let (block, plane, pixels) = (self.kernels.block(), self.s.out_plane(), self.last - self.first);
        let rows = self.weights.rows_of(panel);
        let place = |channel: usize| (self.image * self.s.out_channels + channel) * plane + self.first;
        assert!(place(rows.end - 1) + pixels <= self.s.out_len());
        let (to, stride) = match self.finish.is_none() {
            true => (out.pointer(place(rows.start)), plane),
            false => (memory.as_mut_ptr(), pixels),
        };
        assert!(self.finish.is_none() || rows.len() * pixels <= memory.len());
        for (index, pixels) in packed.chunks_exact(self.rows() * block).enumerate() {
            // SAFETY: by the asserts each row has room for all blocks, in the output, where it is this task's alone, or in the
            // working memory.
            unsafe { self.weights.multiply_block(ready, self.kernels, panel, pixels, to.add(index * block), stride) };
        }
        if !self.finish.is_none() {
            for (channel, from) in rows.zip(memory.chunks_exact(pixels)) {
                // SAFETY: the caller's promise.
                let out = unsafe { out.plane(place(channel), pixels) };
                self.finish.write_run(place(channel), channel, from, out);
            }
        }
    }
}
