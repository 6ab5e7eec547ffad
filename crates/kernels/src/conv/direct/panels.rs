//! The weights as the kernels read them, and their product with packed pixels.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::kernel::Kernels;
use super::packing::Packed;
use crate::output::{Aligned, overwritable};
use crate::scratch;
use crate::simd::{Join, Ready};

/// A matrix of weights, cut into panels of a few rows; within a panel, the rows of one term (or pair of terms) lie together. Where
/// products take blocks of 16 rows, all panels but the last are full, and within a block the terms of 16 rows lie together, row by row.
pub(crate) struct Panels {
    numbers: Aligned,
    rows: usize,
    terms: usize,
    /// Numbers of a row: its terms, or pairs of them, and what fills up the products' step.
    row_len: usize,
    count: usize,
    /// Rows of a full panel, where all but the last are full.
    full: Option<usize>,
}

/// Rows and pairs of a block.
const BLOCK: usize = 16;

impl Panels {
    /// Packs the matrix whose row `r` has the number `weight[first[k] + r * row_stride]` at term `k`.
    pub(crate) fn pack(kernels: &Kernels, rows: usize, weight: &[f32], first: &[usize], row_stride: usize) -> Self {
        Self::pack_by(kernels, rows, first.len(), |rows, numbers| {
            for (&first, numbers) in first.iter().zip(numbers.chunks_exact_mut(rows.len())) {
                let weights = weight[first + rows.start * row_stride..].iter().step_by(row_stride);
                numbers.iter_mut().zip(weights).for_each(|(number, &weight)| {
                    number.write(weight);
                });
            }
        })
    }

    /// Packs a matrix by `write(rows of a panel, its numbers: those of its rows at the first term, at the second, …)`, which
    /// writes all of them.
    pub(crate) fn pack_by(
        kernels: &Kernels,
        rows: usize,
        terms: usize,
        write: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync,
    ) -> Self {
        let full = kernels.in_blocks().then_some(kernels.spread.len());
        let (count, row_len) = (rows.div_ceil(kernels.spread.len()), kernels.packed_rows(terms));
        let mut parts: Vec<_> = (0..count).map(|panel| panel_rows(rows, count, full, panel)).collect();
        let len = parts.iter().map(|rows| room(full, rows.len()) * row_len).sum();
        let panels = |mut rest: &mut [MaybeUninit<f32>]| {
            let with_numbers = |rows: Range<usize>| {
                let (numbers, others) = std::mem::take(&mut rest).split_at_mut(room(full, rows.len()) * row_len);
                rest = others;
                (rows, numbers)
            };
            let parts: Vec<_> = parts.drain(..).map(with_numbers).collect();
            parts.into_par_iter().for_each(|(rows, numbers)| match kernels.join {
                Some(join) => {
                    joined(
                        join,
                        rows.len(),
                        terms,
                        |single| write(rows.clone(), single),
                        |pairs| {
                            if kernels.in_blocks() {
                                to_blocks(pairs, rows.len(), row_len, numbers)
                            } else {
                                copy(pairs, numbers)
                            }
                        },
                    );
                }
                None => write(rows, numbers),
            });
        };
        // SAFETY: the panels cover the numbers, and `write`, `copy` and `to_blocks` write all of each.
        Self { numbers: unsafe { Aligned::written(len, panels) }, rows, terms, row_len, count, full }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Terms of a row.
    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Multiplies one panel with packed pixels, and returns its rows and their products, row after row
    /// [`Packed::pixels`] apart.
    pub(crate) fn multiply<'m>(
        &self,
        ready: &Ready,
        kernels: &Kernels,
        panel: usize,
        packed: &Packed<'_>,
        memory: &'m mut [f32],
    ) -> (Range<usize>, &'m [f32]) {
        let (rows, block, stride) = (self.rows_of(panel), kernels.block(), packed.pixels());
        assert!(rows.len() * stride <= memory.len() && packed.terms() == self.terms);
        for (index, pixels) in packed.blocks().enumerate() {
            // SAFETY: the assert bounds what is written in each row.
            unsafe {
                self.multiply_block(ready, kernels, panel, pixels, memory.as_mut_ptr().add(index * block), stride)
            };
        }
        (rows, memory)
    }

    /// Rows of a panel.
    pub(crate) fn rows_of(&self, panel: usize) -> Range<usize> {
        panel_rows(self.rows, self.count, self.full, panel)
    }

    /// Multiplies one panel with one block of packed pixels, and writes its rows' products to `to`, `stride` apart.
    ///
    /// # Safety
    /// A block of numbers can be written there for each of the panel's rows.
    pub(crate) unsafe fn multiply_block(
        &self,
        _: &Ready,
        kernels: &Kernels,
        panel: usize,
        pixels: &[f32],
        to: *mut f32,
        stride: usize,
    ) {
        let rows = self.rows_of(panel);
        let weights = &self.numbers[rows.start * self.row_len..][..room(self.full, rows.len()) * self.row_len];
        let block = kernels.block();
        assert!(pixels.len() >= self.row_len * block);
        // SAFETY: the kernels belong to this processor (`Kernels::of` an available set); the weights hold a panel of
        // rows.len() * row_len, or whole blocks of rows, the pixels all terms; the caller vouches for `to`.
        unsafe { kernels.spread[rows.len() - 1](self.row_len, weights.as_ptr(), pixels.as_ptr(), block, to, stride) };
    }

    /// Multiplies all rows, of which there are at most `spread_in_place.len()`, with `pixels` neighbouring pixels at each
    /// offset of `planes`; products go to `memory`, rows its `stride` apart, which [`in_place_len`] gives.
    pub(crate) fn multiply_in_place(
        &self,
        kernels: &Kernels,
        offsets: &[u32],
        planes: &[f32],
        pixels: usize,
        (memory, stride): (&mut [f32], usize),
    ) {
        assert_eq!((offsets.len(), self.numbers.len()), (self.terms, self.rows * self.terms));
        let reach = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let (kernel, columns) = kernels.spread_in_place[self.rows - 1];
        let block = columns * kernels.lanes;
        let end = pixels.div_ceil(block) * block;
        assert!(end <= stride && self.rows * stride <= memory.len() && reach + end <= planes.len());
        for first in (0..end).step_by(block) {
            // SAFETY: the kernels belong to this processor (`Kernels::of` an available set); the asserts bound the weights,
            // what is read at the furthest offset and what is written in each row.
            unsafe {
                let (from, to) = (planes.as_ptr().add(first), memory.as_mut_ptr().add(first));
                kernel(offsets, self.numbers.as_ptr(), from, to, stride);
            }
        }
    }

    /// Working memory that [`Panels::multiply`] needs for `pixels` packed pixels.
    pub(crate) fn memory(&self, kernels: &Kernels, pixels: usize) -> usize {
        kernels.spread.len().min(self.rows) * pixels
    }
}

/// Makes pairs of the `terms` terms of a panel of `rows` rows, which `write` writes one by one, and hands them to `take`: the rows'
/// numbers at the first pair of terms, at the second, …
fn joined(
    join: Join,
    rows: usize,
    terms: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
    take: impl FnOnce(&[f32]),
) {
    /// What `join` reads and writes too much at most.
    const ROOM: usize = 16;
    let count = terms.div_ceil(2);
    let (single_len, pairs_len) = (2 * count * rows + ROOM, count * rows + ROOM);
    scratch::with(single_len + pairs_len, |memory| {
        let (single, pairs) = memory.split_at_mut(single_len);
        let (terms, rest) = single.split_at_mut(terms * rows);
        write(overwritable(terms));
        rest.fill(0.0);
        for pair in 0..count {
            let first = &single[2 * pair * rows..][..2 * rows + ROOM];
            let to = &mut pairs[pair * rows..][..rows + ROOM];
            // SAFETY: the kernels that `join` is of belong to this processor, and the slices have room for a vector more.
            unsafe { join(first.as_ptr(), first.as_ptr().add(rows), rows, to.as_mut_ptr()) };
        }
        take(&pairs[..count * rows]);
    });
}

fn copy(pairs: &[f32], numbers: &mut [MaybeUninit<f32>]) {
    numbers.iter_mut().zip(pairs).for_each(|(number, &pair)| {
        number.write(pair);
    });
}

/// Brings the pairs of `rows` rows into blocks of 16 rows, and of `row_len` pairs, with zeros where there are none.
fn to_blocks(pairs: &[f32], rows: usize, row_len: usize, numbers: &mut [MaybeUninit<f32>]) {
    let steps = row_len / BLOCK;
    for (index, block) in numbers.chunks_exact_mut(BLOCK * BLOCK).enumerate() {
        let (first_row, first_pair) = (index / steps * BLOCK, index % steps * BLOCK);
        for (i, number) in block.iter_mut().enumerate() {
            let (row, pair) = (first_row + i / BLOCK, first_pair + i % BLOCK);
            let present = row < rows && pair * rows < pairs.len();
            number.write(if present { pairs[pair * rows + row] } else { 0.0 });
        }
    }
}

/// Rows that a panel of `rows` rows has room for.
fn room(full: Option<usize>, rows: usize) -> usize {
    if full.is_some() { rows.next_multiple_of(BLOCK) } else { rows }
}

/// Rows of panel `panel` of `count`: nearly equal parts, or `full` ones.
fn panel_rows(rows: usize, count: usize, full: Option<usize>, panel: usize) -> Range<usize> {
    match full {
        Some(full) => panel * full..rows.min((panel + 1) * full),
        None => part(rows, count, panel),
    }
}

/// Part `index` of `0..total` cut into `parts` nearly equal parts.
pub(crate) fn part(total: usize, parts: usize, index: usize) -> Range<usize> {
    total * index / parts..total * (index + 1) / parts
}

/// Numbers of a row of products in place: whole tiles of the widest kernel, an odd number of cache lines.
pub(crate) fn in_place_len(kernels: &Kernels, pixels: usize) -> usize {
    let widest = kernels.spread_in_place.iter().map(|&(_, columns)| columns).max().unwrap_or(1) * kernels.lanes;
    ((pixels + widest).div_ceil(16) | 1) * 16
}
