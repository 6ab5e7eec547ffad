//! Pixels as the kernels read them: the wanted pixels alone, in blocks of a kernel's width, all terms of a block together.
//!
//! Planes have padding between rows and images. Packing leaves it out: no product is computed for it, and every vector is
//! read aligned. A packed number is multiplied with every row of the weights, so that packing costs little. Where factors are bf16,
//! neighbouring terms share a row of pairs.

use super::axis::Pixels;
use super::kernel::{Kernels, Run};
use super::planes::Planes;

/// Packed numbers that should stay in a core's second-level cache.
pub(crate) const PACKED_NUMBERS: usize = 96 * 1024;

/// The pixels of a group of images that a product yields, in row-major order, cut into blocks.
pub(crate) struct Wanted {
    runs: Vec<Run>,
    /// First run of each block, and the end of the last.
    starts: Vec<usize>,
    per_image: usize,
}

impl Wanted {
    /// The pixels `rows` × `columns` of every image of a group.
    pub(crate) fn new(kernels: &Kernels, planes: &Planes, rows: Pixels, columns: Pixels) -> Self {
        let (block, per_image) = (kernels.block(), rows.count * columns.count);
        let (mut runs, mut starts, mut room) = (Vec::new(), vec![0], block);
        // Rows, and even images, without padding between them are one run.
        let (images, count, len) = match () {
            () if planes.image_len() == per_image => (1, 1, planes.images * per_image),
            () if planes.columns.pitch == columns.count => (planes.images, 1, per_image),
            () => (planes.images, rows.count, columns.count),
        };
        for image in 0..images {
            for row in 0..count {
                let (mut from, mut left) = (image * planes.image_len() + row * planes.columns.pitch, len);
                while left > 0 {
                    let len = left.min(room);
                    runs.push(Run { from: from as u32, len: len as u32 });
                    (from, left, room) = (from + len, left - len, room - len);
                    if room == 0 {
                        starts.push(runs.len());
                        room = block;
                    }
                }
            }
        }
        if room < block {
            starts.push(runs.len());
        }
        Self { runs, starts, per_image }
    }

    /// Blocks of the first `images` images.
    pub(crate) fn blocks(&self, kernels: &Kernels, images: usize) -> usize {
        (images * self.per_image).div_ceil(kernels.block())
    }

    /// Packs block `block`: for each offset, the block's pixels that far into the planes.
    pub(crate) fn pack(&self, kernels: &Kernels, planes: &[f32], offsets: &[u32], block: usize, to: &mut [f32]) {
        let runs = &self.runs[self.starts[block]..self.starts[block + 1]];
        let reach = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let furthest = runs.iter().map(|run| run.from as usize + run.len as usize + kernels.lanes).max().unwrap_or(0);
        assert!(reach + furthest <= planes.len() && to.len() >= packed_len(kernels, offsets.len(), 1));
        // SAFETY: the kernels belong to this processor. The assert bounds the reads of the furthest run at the furthest offset; a
        // term's runs are at most a block long, and behind each there is room for a vector more.
        let collect = |offset: u32, to: &mut [f32]| unsafe {
            assert!(to.len() >= kernels.block() + kernels.lanes);
            (kernels.collect)(runs, planes.as_ptr().add(offset as usize), to.as_mut_ptr());
        };
        let Some(join) = kernels.join else {
            for (term, &offset) in offsets.iter().enumerate() {
                collect(offset, &mut to[term * kernels.block()..]);
            }
            return;
        };
        let (mut first, mut second) = ([0.0; MAX_BLOCK], [0.0; MAX_BLOCK]);
        for (pair, to) in offsets.chunks(2).zip(to.chunks_exact_mut(kernels.block())) {
            collect(pair[0], &mut first);
            match pair {
                [_, offset] => collect(*offset, &mut second),
                _ => second.fill(0.0),
            }
            // SAFETY: the kernels belong to this processor; a block is a whole number of its vectors.
            unsafe { join(first.as_ptr(), second.as_ptr(), to.len(), to.as_mut_ptr()) };
        }
        let (rows, all) = (offsets.len().div_ceil(2), kernels.packed_rows(offsets.len()));
        to[rows * kernels.block()..all * kernels.block()].fill(0.0);
    }
}

/// Numbers of the widest block, and a vector more.
pub(crate) const MAX_BLOCK: usize = 48;

/// Numbers of `blocks` packed blocks of `terms` terms, each with room for what packing writes too much.
pub(crate) fn packed_len(kernels: &Kernels, terms: usize, blocks: usize) -> usize {
    blocks * block_len(kernels, terms)
}

fn block_len(kernels: &Kernels, terms: usize) -> usize {
    kernels.packed_rows(terms) * kernels.block() + kernels.lanes
}

/// Some packed blocks.
pub(crate) struct Packed<'a> {
    first_pixel: usize,
    numbers: &'a [f32],
    terms: usize,
    block: usize,
    block_len: usize,
}

impl<'a> Packed<'a> {
    /// Blocks from `start` on; `numbers` is as long as [`packed_len`] says.
    pub(crate) fn new(kernels: &Kernels, terms: usize, numbers: &'a [f32], start: usize) -> Self {
        Self {
            first_pixel: start * kernels.block(),
            numbers,
            terms,
            block: kernels.block(),
            block_len: block_len(kernels, terms),
        }
    }

    /// Terms of each pixel.
    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    /// Each block's numbers: a row of pixels for every term, or pair of terms, and rows of zeros up to the products' step.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.numbers.chunks_exact(self.block_len)
    }

    /// Number of the first pixel among those that are wanted.
    pub(crate) fn first_pixel(&self) -> usize {
        self.first_pixel
    }

    /// Pixels, those that fill the last block included.
    pub(crate) fn pixels(&self) -> usize {
        self.numbers.len() / self.block_len * self.block
    }
}
