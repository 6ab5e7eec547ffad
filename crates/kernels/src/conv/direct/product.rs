//! One product of a pass: weights times shifted planes, for one phase of the output's pixels.

use super::axis::{Extent, Pixels};
use super::kernel::Kernels;
use super::layout::{furthest, group_images};
use super::packing::Wanted;
use super::panels::Panels;
use super::planes::Planes;
use crate::conv::shape::ConvShape;

/// One product: which phase of which output pixels it yields, from which offsets.
pub(super) struct Product {
    pub(super) weights: Panels,
    pub(super) offsets: Vec<u32>,
    pub(super) rows: Pixels,
    pub(super) columns: Pixels,
    pub(super) wanted: Wanted,
}

impl Product {
    /// Whether so few rows share the pixels that packing them would cost as much as multiplying: then the planes are read
    /// where they are, padding included.
    pub(super) fn reads_in_place(&self, kernels: &Kernels) -> bool {
        self.weights.rows() <= kernels.spread_in_place.len()
    }

    /// Pixels from the first to the last that is wanted of `images` images.
    pub(super) fn span(&self, planes: &Planes, images: usize) -> usize {
        let last = (self.rows.count - 1) * planes.columns.pitch + self.columns.count;
        (images - 1) * planes.image_len() + last
    }
}

/// Planes of the output gradient, and one product for each phase of the input that has pixels.
pub(super) fn gradient_products(kernels: &Kernels, s: &ConvShape, weight: &[f32]) -> (Planes, Vec<Product>) {
    let (row_extent, column_extent) = (Extent::rows(s), Extent::columns(s));
    let ((rows, row_phases), (columns, column_phases)) = (row_extent.of_gradient(), column_extent.of_gradient());
    let pixels = rows.pitch * columns.pitch;
    let images = group_images(s.images, s.out_channels * pixels, pixels);
    let reach = |phases: &[Vec<(usize, usize)>]| phases.iter().map(|taps| furthest(taps)).max().unwrap_or(0);
    let planes = Planes::new(rows, columns, images, (reach(&row_phases), reach(&column_phases)));
    let mut products = Vec::new();
    for (row_phase, row_taps) in row_phases.iter().enumerate() {
        for (column_phase, column_taps) in column_phases.iter().enumerate() {
            let (rows, columns) = (row_extent.pixels(row_phase), column_extent.pixels(column_phase));
            if rows.count > 0 && columns.count > 0 {
                let (weights, offsets) = phase_terms(kernels, s, weight, &planes, row_taps, column_taps);
                let wanted = Wanted::new(kernels, &planes, rows, columns);
                products.push(Product { weights, offsets, rows, columns, wanted });
            }
        }
    }
    (planes, products)
}

/// The weights and offsets of one phase of the input: all output channels, and the taps of that phase.
fn phase_terms(
    kernels: &Kernels,
    s: &ConvShape,
    weight: &[f32],
    planes: &Planes,
    row_taps: &[(usize, usize)],
    column_taps: &[(usize, usize)],
) -> (Panels, Vec<u32>) {
    let (mut first, mut offsets) = (Vec::new(), Vec::new());
    for o in 0..s.out_channels {
        for row in row_taps {
            for column in column_taps {
                first.push(o * s.in_channels * s.taps() + row.0 * s.kernel + column.0);
                offsets.push(planes.offset(o, (0, row.1), (0, column.1)));
            }
        }
    }
    let weights = Panels::pack(kernels, s.in_channels, weight, &first, s.taps());
    (weights, offsets)
}
