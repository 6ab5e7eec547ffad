//! The weights as the kernels read them, and the product of weights and shifted planes.

use rayon::prelude::*;

use super::kernel::Kernels;

/// A matrix of weights, cut into panels of a few rows; within a panel, the rows of one term lie together.
pub(crate) struct Panels {
    numbers: Vec<f32>,
    rows: usize,
    terms: usize,
    count: usize,
}

impl Panels {
    /// Packs the (`rows`, `terms`) matrix of `weight(row, term)` for `kernels`.
    pub(crate) fn pack(
        kernels: &Kernels,
        rows: usize,
        terms: usize,
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let mut panels =
            Self { numbers: vec![0.0; rows * terms], rows, terms, count: rows.div_ceil(kernels.spread.len()) };
        let mut rest = panels.numbers.as_mut_slice();
        let mut parts = Vec::with_capacity(panels.count);
        for panel in 0..panels.count {
            let rows = part(rows, panels.count, panel);
            let (numbers, others) = rest.split_at_mut(rows.len() * terms);
            parts.push((rows, numbers));
            rest = others;
        }
        parts.into_par_iter().for_each(|(rows, numbers)| {
            for (term, numbers) in numbers.chunks_exact_mut(rows.len()).enumerate() {
                numbers.iter_mut().zip(rows.clone()).for_each(|(number, row)| *number = weight(row, term));
            }
        });
        panels
    }

    /// Multiplies with the planes: `take(rows, products, stride)` gets each panel's products, row after row `stride` apart, for
    /// `pixels` neighbouring pixels.
    pub(crate) fn multiply(
        &self,
        kernels: &Kernels,
        offsets: &[u32],
        planes: &[f32],
        pixels: usize,
        memory: &mut [f32],
        mut take: impl FnMut(std::ops::Range<usize>, &[f32], usize),
    ) {
        assert_eq!(offsets.len(), self.terms);
        let reach = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let stride = products_len(kernels, pixels);
        for panel in 0..self.count {
            let rows = part(self.rows, self.count, panel);
            let weights = &self.numbers[rows.start * self.terms..rows.end * self.terms];
            let (kernel, columns) = kernels.spread[rows.len() - 1];
            let block = columns * kernels.lanes;
            let blocks = pixels.div_ceil(block);
            assert!(blocks * block <= stride && rows.len() * stride <= memory.len());
            assert!(reach + blocks * block <= planes.len());
            for first in (0..blocks * block).step_by(block) {
                // SAFETY: the kernels belong to this processor (`Kernels::of` an available set); the weights hold a panel of
                // rows.len() * terms; the asserts bound what is read at the furthest offset and written in each row.
                unsafe {
                    kernel(
                        weights.as_ptr(),
                        offsets,
                        planes.as_ptr().add(first),
                        memory.as_mut_ptr().add(first),
                        stride,
                    );
                }
            }
            take(rows, memory, stride);
        }
    }

    /// Working memory that [`Panels::multiply`] needs.
    pub(crate) fn memory(&self, kernels: &Kernels, pixels: usize) -> usize {
        kernels.spread.len().min(self.rows) * products_len(kernels, pixels)
    }
}

/// A row of products: whole tiles of the widest kernel, an odd number of cache lines.
fn products_len(kernels: &Kernels, pixels: usize) -> usize {
    let widest = kernels.spread.iter().map(|&(_, columns)| columns).max().unwrap_or(1) * kernels.lanes;
    ((pixels + widest).div_ceil(16) | 1) * 16
}

/// Part `index` of `0..total` cut into `parts` nearly equal parts.
pub(crate) fn part(total: usize, parts: usize, index: usize) -> std::ops::Range<usize> {
    total * index / parts..total * (index + 1) / parts
}
