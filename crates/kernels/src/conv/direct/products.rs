//! Forward pass and input gradient: weights times shifted planes.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::axis::{Axis, Extent, Pixels};
use super::kernel::Kernels;
use super::panels::Panels;
use super::planes::{Planes, Source};
use crate::conv::shape::ConvShape;
use crate::epilogue::{Finish, Rows};
use crate::scratch;
use crate::simd::Isa;

/// Numbers of a group's planes that should stay in a core's second-level cache.
const GROUP_NUMBERS: usize = 128 * 1024;

/// Groups of a batch at least, so that there is parallel work.
const MIN_GROUPS: usize = 16;

/// Pixels of a group at least, so that the kernels' tiles are filled: this goes before parallel work.
const MIN_PIXELS: usize = 96;

/// Images per group, from the numbers of one image's planes and the pixels of one. Sizes alone decide, never the number of
/// threads.
fn group_images(images: usize, numbers_per_image: usize, pixels: usize) -> usize {
    let fitting = (GROUP_NUMBERS / numbers_per_image.max(1)).max(1);
    let groups = images.div_ceil(fitting).max(MIN_GROUPS).min(images * pixels / MIN_PIXELS).max(1);
    images.div_ceil(groups).max(1)
}

/// One product: which phase of which output pixels it yields, from which offsets.
struct Product {
    weights: Panels,
    offsets: Vec<u32>,
    rows: Pixels,
    columns: Pixels,
}

impl Product {
    /// Pixels from the first to the last that is wanted of `images` images.
    fn span(&self, planes: &Planes, images: usize) -> usize {
        let last = (self.rows.count - 1) * planes.columns.pitch + self.columns.count;
        (images - 1) * planes.image_len() + last
    }
}

/// What the products of a pass write to.
#[derive(Clone, Copy)]
struct Target {
    channels: usize,
    height: usize,
    width: usize,
    stride: usize,
}

impl Target {
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Copies one product row, which is of `channel`, to its places in the images' planes.
    fn scatter(&self, product: &Product, planes: &Planes, channel: usize, from: &[f32], out: &mut [MaybeUninit<f32>]) {
        for (image, out) in out.chunks_exact_mut(self.channels * self.plane()).enumerate() {
            let out = &mut out[channel * self.plane()..][..self.plane()];
            for row in 0..product.rows.count {
                let from = &from[image * planes.image_len() + row * planes.columns.pitch..][..product.columns.count];
                let at = (product.rows.first + row * self.stride) * self.width + product.columns.first;
                out[at..].iter_mut().step_by(self.stride).zip(from).for_each(|(out, &from)| {
                    out.write(from);
                });
            }
        }
    }
}

/// `out = finish(conv(x, weight))`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: &[f32],
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let kernels = Kernels::of(isa);
    let (planes, taps) = input_planes(s, |numbers, pixels| group_images(s.images, numbers, pixels));
    let terms = s.in_channels * s.taps();
    let product = Product {
        weights: Panels::pack(kernels, s.out_channels, terms, |row, term| weight[row * terms + term]),
        offsets: taps.into_iter().flatten().collect(),
        rows: Pixels { first: 0, count: s.out_height() },
        columns: Pixels { first: 0, count: s.out_width() },
    };
    let target = Target { channels: s.out_channels, height: s.out_height(), width: s.out_width(), stride: 1 };
    let source = |numbers| Source { numbers, channels: s.in_channels, height: s.height, width: s.width };
    let finish = |place: Place<'_>, from: &[f32], out: &mut [MaybeUninit<f32>]| {
        place.planes_of(&target, from, out, |plane, from, out| {
            finish.write_plane(
                plane,
                place.channel,
                Rows { from, pitch: planes.columns.pitch, width: target.width },
                out,
            );
        });
    };
    run(kernels, &planes, std::slice::from_ref(&product), target, (x, source), finish, out);
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(isa: Isa, s: &ConvShape, gradient: &[f32], weight: &[f32], out: &mut [MaybeUninit<f32>]) {
    let kernels = Kernels::of(isa);
    let (planes, products) = gradient_products(kernels, s, weight);
    if products.len() < s.stride * s.stride {
        // Some input pixels are read by no tap.
        out.fill(MaybeUninit::new(0.0));
    }
    let target = Target { channels: s.in_channels, height: s.height, width: s.width, stride: s.stride };
    let source = |numbers| Source { numbers, channels: s.out_channels, height: s.out_height(), width: s.out_width() };
    let copy = |place: Place<'_>, from: &[f32], out: &mut [MaybeUninit<f32>]| {
        if s.stride > 1 {
            return target.scatter(place.product, &planes, place.channel, from, out);
        }
        place.planes_of(&target, from, out, |_, from, out| {
            let rows = Rows { from, pitch: planes.columns.pitch, width: target.width };
            Finish::NONE.write_plane(0, 0, rows, out);
        });
    };
    run(kernels, &planes, &products, target, (gradient, source), copy, out);
}

/// Where a row of products belongs: its channel, and the group's first image.
#[derive(Clone, Copy)]
struct Place<'a> {
    planes: &'a Planes,
    product: &'a Product,
    first_image: usize,
    channel: usize,
}

impl Place<'_> {
    /// Calls `write(number of the plane in the whole output, products of the plane, plane)` for each image of the group.
    fn planes_of(
        &self,
        target: &Target,
        from: &[f32],
        out: &mut [MaybeUninit<f32>],
        mut write: impl FnMut(usize, &[f32], &mut [MaybeUninit<f32>]),
    ) {
        for (image, out) in out.chunks_exact_mut(target.channels * target.plane()).enumerate() {
            let plane = (self.first_image + image) * target.channels + self.channel;
            let out = &mut out[self.channel * target.plane()..][..target.plane()];
            write(plane, &from[image * self.planes.image_len()..], out);
        }
    }
}

/// Planes of the input in groups of `images(numbers of one image's planes, pixels of one plane)` images, and the offsets of
/// every channel's taps.
pub(super) fn input_planes(s: &ConvShape, images: impl Fn(usize, usize) -> usize) -> (Planes, Vec<Vec<u32>>) {
    let ((rows, row_taps), (columns, column_taps)) = (Extent::rows(s).of_input(), Extent::columns(s).of_input());
    let phases = rows.phases.len() * columns.phases.len();
    let pixels = rows.pitch * columns.pitch;
    let images = images(s.in_channels * phases * pixels, pixels);
    let reach = (furthest(&row_taps), furthest(&column_taps));
    let planes = Planes::new(rows, columns, images, reach);
    let taps_of = |channel: usize| {
        let taps = row_taps.iter().flat_map(|&row| column_taps.iter().map(move |&column| (row, column)));
        taps.map(|(row, column)| planes.offset(channel, row, column)).collect()
    };
    let taps = (0..s.in_channels).map(taps_of).collect();
    (planes, taps)
}

fn furthest(taps: &[(usize, usize)]) -> usize {
    taps.iter().map(|&(_, shift)| shift).max().unwrap_or(0)
}

/// Planes of the output gradient, and one product for each phase of the input that has pixels.
fn gradient_products(kernels: &Kernels, s: &ConvShape, weight: &[f32]) -> (Planes, Vec<Product>) {
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
                products.push(Product { weights, offsets, rows, columns });
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
    let taps: Vec<_> = row_taps.iter().flat_map(|&row| column_taps.iter().map(move |&column| (row, column))).collect();
    let term = |term: usize| (term / taps.len(), taps[term % taps.len()]);
    let terms = s.out_channels * taps.len();
    let weights = Panels::pack(kernels, s.in_channels, terms, |channel, index| {
        let (o, (row, column)) = term(index);
        weight[(o * s.in_channels + channel) * s.taps() + row.0 * s.kernel + column.0]
    });
    let offset = |index| {
        let (o, (row, column)) = term(index);
        planes.offset(o, (0, row.1), (0, column.1))
    };
    (weights, (0..terms).map(offset).collect())
}

/// Runs the products of a pass over all groups of images in parallel; `write(place, products, group's output)` gets each row.
fn run<'a>(
    kernels: &Kernels,
    planes: &Planes,
    products: &[Product],
    target: Target,
    (x, source): (&'a [f32], impl Fn(&'a [f32]) -> Source<'a> + Sync),
    write: impl Fn(Place<'_>, &[f32], &mut [MaybeUninit<f32>]) + Sync,
    out: &mut [MaybeUninit<f32>],
) {
    let Source { channels, height, width, .. } = source(&[]);
    let filled = channels * planes.phases() * planes.len;
    let span = |images| products.iter().map(|product| product.span(planes, images)).max().unwrap_or(0);
    let memory = products.iter().map(|product| product.weights.memory(kernels, span(planes.images))).max().unwrap_or(0);
    let groups = x.par_chunks(planes.images * channels * height * width);
    let outs = out.par_chunks_mut(planes.images * target.channels * target.plane());
    outs.zip(groups).enumerate().for_each(|(group, (out, x))| {
        scratch::with(filled + memory, |scratch| {
            let (filling, memory) = scratch.split_at_mut(filled);
            let source = source(x);
            planes.fill(&source, 0..channels, filling);
            for product in products {
                let span = product.span(planes, source.images());
                product.weights.multiply(kernels, &product.offsets, filling, span, memory, |rows, from, stride| {
                    for (row, channel) in rows.enumerate() {
                        let place = Place { planes, product, first_image: group * planes.images, channel };
                        write(place, &from[row * stride..(row + 1) * stride], out);
                    }
                });
            }
        });
    });
}

/// Planes of the output gradient as the weight gradient multiplies them: at the same places as the input's planes.
pub(super) fn aligned_gradient_planes(s: &ConvShape, input: &Planes) -> Planes {
    let axis =
        |pitch: usize, count: usize| Axis { front: 0, pitch, phases: vec![Pixels { first: 0, count }], stride: 1 };
    let rows = axis(input.rows.pitch, s.out_height());
    let columns = axis(input.columns.pitch, s.out_width());
    Planes::new(rows, columns, input.images, (0, 0))
}
