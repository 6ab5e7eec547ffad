//! One product of a pass: weights times shifted planes, for one phase of the output's pixels.

use super::axis::{Extent, Pixels};
use super::kernel::Kernels;
use super::layout::{furthest, group_images};
use super::packing::Wanted;
use super::panels::Panels;
use super::planes::Planes;
use crate::conv::shape::ConvShape;

/// One product: which phase of which output pixels it yields, from which offsets.
pub(super) struct Product<'a> {
    pub(super) weights: &'a Panels,
    pub(super) offsets: Vec<u32>,
    pub(super) rows: Pixels,
    pub(super) columns: Pixels,
    pub(super) wanted: Wanted,
}

impl Product<'_> {
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

/// A phase of the input's pixels: for rows and columns its number, and its taps with their shifts.
struct Phase {
    rows: (usize, Vec<(usize, usize)>),
    columns: (usize, Vec<(usize, usize)>),
}

impl Phase {
    /// Each tap of the kernel, and where it reads the output gradient: rows and columns.
    fn taps(&self) -> impl Iterator<Item = ((usize, usize), (usize, usize))> {
        self.rows.1.iter().flat_map(|row| self.columns.1.iter().map(move |column| (*row, *column)))
    }
}

/// The phases of the input that have pixels.
fn phases(s: &ConvShape) -> impl Iterator<Item = Phase> {
    let of = |extent: Extent| {
        let taps = extent.of_gradient().1.into_iter().enumerate();
        taps.filter(move |&(phase, _)| extent.pixels(phase).count > 0).collect::<Vec<_>>()
    };
    let (rows, columns) = (of(Extent::rows(s)), of(Extent::columns(s)));
    rows.into_iter()
        .flat_map(move |rows| columns.clone().into_iter().map(move |columns| Phase { rows: rows.clone(), columns }))
}

/// For each phase of the input that has pixels the weights of its taps, from all output channels.
pub(super) fn gradient_weights(kernels: &Kernels, s: &ConvShape, weight: &[f32]) -> Vec<Panels> {
    let of = |phase: Phase| {
        let of_output = |o: usize| {
            let first = o * s.in_channels * s.taps();
            phase.taps().map(move |(row, column)| first + row.0 * s.kernel + column.0)
        };
        let first: Vec<usize> = (0..s.out_channels).flat_map(of_output).collect();
        Panels::pack(kernels, s.in_channels, weight, &first, s.taps())
    };
    phases(s).map(of).collect()
}

/// Planes of the output gradient, and the product of each of the [`gradient_weights`].
pub(super) fn gradient_products<'a>(
    kernels: &Kernels,
    s: &ConvShape,
    weights: &'a [Panels],
) -> (Planes, Vec<Product<'a>>) {
    let (row_extent, column_extent) = (Extent::rows(s), Extent::columns(s));
    let ((rows, row_phases), (columns, column_phases)) = (row_extent.of_gradient(), column_extent.of_gradient());
    let pixels = rows.pitch * columns.pitch;
    let images = group_images(s.images, s.out_channels * pixels, pixels);
    let reach = |phases: &[Vec<(usize, usize)>]| phases.iter().map(|taps| furthest(taps)).max().unwrap_or(0);
    let planes = Planes::new(rows, columns, images, (reach(&row_phases), reach(&column_phases)));
    let product = |(phase, weights): (Phase, &'a Panels)| {
        let offset = |o| phase.taps().map(move |(row, column)| (o, row.1, column.1));
        let offsets = (0..s.out_channels).flat_map(offset);
        let offsets = offsets.map(|(o, row, column)| planes.offset(o, (0, row), (0, column))).collect();
        let (rows, columns) = (row_extent.pixels(phase.rows.0), column_extent.pixels(phase.columns.0));
        Product { weights, offsets, rows, columns, wanted: Wanted::new(kernels, &planes, rows, columns) }
    };
    let products = phases(s).zip(weights).map(product).collect();
    (planes, products)
}
