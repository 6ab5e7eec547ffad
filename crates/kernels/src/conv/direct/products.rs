//! Forward pass and input gradient: weights times shifted planes.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::axis::{Axis, Extent, Pixels};
use super::kernel::Kernels;
use super::packing::{Packed, Wanted, packed_len};
use super::panels::{Panels, in_place_len};
use super::planes::{Planes, Source};
use super::pointwise;
use crate::conv::shape::ConvShape;
use crate::epilogue::Finish;
use crate::output::Shared;
use crate::scratch;
use crate::simd::Isa;

/// Numbers of a group's planes that should stay in a core's second-level cache.
const GROUP_NUMBERS: usize = 64 * 1024;

/// Packed numbers that should stay there too.
const PACKED_NUMBERS: usize = 96 * 1024;

/// Groups of a batch at least, so that there is parallel work.
const MIN_GROUPS: usize = 16;

/// Pixels of a group at least: as many as make the packing of weights pay. This goes before parallel groups, since the rows
/// of one group can be shared out too.
const MIN_PIXELS: usize = 128;

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
    wanted: Wanted,
}

impl Product {
    /// Whether so few rows share the pixels that packing them would cost as much as multiplying: then the planes are read
    /// where they are, padding included.
    fn reads_in_place(&self, kernels: &Kernels) -> bool {
        self.weights.rows() <= kernels.spread_in_place.len()
    }

    /// Pixels from the first to the last that is wanted of `images` images.
    fn span(&self, planes: &Planes, images: usize) -> usize {
        let last = (self.rows.count - 1) * planes.columns.pitch + self.columns.count;
        (images - 1) * planes.image_len() + last
    }
}

/// What the products of a pass write to.
#[derive(Clone, Copy)]
struct Target<'a> {
    channels: usize,
    height: usize,
    width: usize,
    /// Distance of two pixels of a product.
    stride: usize,
    numbers: &'a Shared<'a, f32>,
    finish: Finish<'a, f32>,
}

impl Target<'_> {
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Finishes and writes the rows `channels` of a product at its pixels `pixels`, counted from image `first_image` on;
    /// `from` has the rows `stride` apart.
    ///
    /// # Safety
    /// These pixels of these channels belong to this task alone.
    unsafe fn write(
        &self,
        product: &Product,
        first_image: usize,
        channels: Range<usize>,
        pixels: Range<usize>,
        (from, stride): (&[f32], usize),
    ) {
        if self.plane() == 1 {
            // SAFETY: the caller's promise.
            return unsafe { self.write_across(first_image, channels, pixels, (from, stride)) };
        }
        let whole = (product.rows.count, product.columns.count) == (self.height, self.width);
        // Where the product yields every pixel, a run is what it yields of a plane, else what it yields of a row.
        let run = if whole { self.plane() } else { product.columns.count };
        let runs_per_image = if whole { 1 } else { product.rows.count };
        for (row, channel) in channels.enumerate() {
            let mut pixel = pixels.start;
            while pixel < pixels.end {
                let (number, within) = (pixel / run, pixel % run);
                let len = (run - within).min(pixels.end - pixel);
                let plane = (first_image + number / runs_per_image) * self.channels + channel;
                let from = &from[row * stride + pixel - pixels.start..][..len];
                // SAFETY: the caller's promise.
                unsafe {
                    if whole {
                        let at = plane * self.plane() + within;
                        self.finish.write_run(at, channel, from, self.numbers.plane(at, len));
                    } else {
                        let (row, column) = (number % runs_per_image, within);
                        let at = plane * self.plane()
                            + (product.rows.first + row * self.stride) * self.width
                            + product.columns.first
                            + column * self.stride;
                        let out = self.numbers.plane(at, (len - 1) * self.stride + 1);
                        out.iter_mut().step_by(self.stride).zip(from).for_each(|(out, &from)| {
                            out.write(from);
                        });
                    }
                }
                pixel += len;
            }
        }
    }

    /// The same for planes of one pixel, where neighbours in memory are channels.
    ///
    /// # Safety
    /// As [`Self::write`].
    unsafe fn write_across(
        &self,
        first_image: usize,
        channels: Range<usize>,
        pixels: Range<usize>,
        (from, stride): (&[f32], usize),
    ) {
        for (index, image) in pixels.enumerate() {
            let at = (first_image + image) * self.channels + channels.start;
            // SAFETY: the caller's promise.
            let out = unsafe { self.numbers.plane(at, channels.len()) };
            for (row, out) in out.iter_mut().enumerate() {
                out.write(self.finish.one(at + row, channels.start + row, from[row * stride + index]));
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
    let kernels = Kernels::for_rows(isa, s.out_channels);
    let terms = s.in_channels * s.taps();
    let first: Vec<usize> = (0..terms).collect();
    forward_packed(kernels, s, x, Panels::pack(kernels, s.out_channels, weight, &first, terms), finish, out);
}

/// The same with weights that are packed already: a row of inputs and taps for each output channel.
pub(crate) fn forward_packed(
    kernels: &Kernels,
    s: &ConvShape,
    x: &[f32],
    weights: Panels,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    if pointwise::suits(kernels, s) {
        return pointwise::run(kernels, s, x, &weights, finish, out);
    }
    let (planes, taps) = input_planes(s, |numbers, pixels| group_images(s.images, numbers, pixels));
    let (rows, columns) = (Pixels { first: 0, count: s.out_height() }, Pixels { first: 0, count: s.out_width() });
    let product = Product {
        weights,
        offsets: taps.into_iter().flatten().collect(),
        rows,
        columns,
        wanted: Wanted::new(kernels, &planes, rows, columns),
    };
    let target = Target {
        channels: s.out_channels,
        height: s.out_height(),
        width: s.out_width(),
        stride: 1,
        numbers: &Shared::new(out),
        finish,
    };
    let source = Source { numbers: x, channels: s.in_channels, height: s.height, width: s.width };
    Pass { kernels, planes: &planes, products: std::slice::from_ref(&product), target }.run(source);
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(isa: Isa, s: &ConvShape, gradient: &[f32], weight: &[f32], out: &mut [MaybeUninit<f32>]) {
    let kernels = Kernels::for_rows(isa, s.in_channels);
    if pointwise::suits(kernels, s) {
        let first: Vec<usize> = (0..s.out_channels).map(|o| o * s.in_channels).collect();
        let weights = Panels::pack(kernels, s.in_channels, weight, &first, 1);
        let transposed = ConvShape { in_channels: s.out_channels, out_channels: s.in_channels, ..*s };
        return pointwise::run(kernels, &transposed, gradient, &weights, Finish::NONE, out);
    }
    let (planes, products) = gradient_products(kernels, s, weight);
    if products.len() < s.stride * s.stride {
        // Some input pixels are read by no tap.
        out.fill(MaybeUninit::new(0.0));
    }
    let target = Target {
        channels: s.in_channels,
        height: s.height,
        width: s.width,
        stride: s.stride,
        numbers: &Shared::new(out),
        finish: Finish::NONE,
    };
    let source = Source { numbers: gradient, channels: s.out_channels, height: s.out_height(), width: s.out_width() };
    Pass { kernels, planes: &planes, products: &products, target }.run(source);
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

/// The products of a pass.
struct Pass<'a> {
    kernels: &'a Kernels,
    planes: &'a Planes,
    products: &'a [Product],
    target: Target<'a>,
}

impl Pass<'_> {
    /// Runs the products over all groups of images.
    fn run(&self, source: Source<'_>) {
        let image = source.channels * source.height * source.width;
        let groups = source.numbers.par_chunks(self.planes.images * image).enumerate();
        let of = |numbers| Source { numbers, ..source };
        // Few rows cannot be shared out.
        if groups.len() >= MIN_GROUPS / 2 || self.products.iter().any(|product| product.reads_in_place(self.kernels)) {
            groups.for_each(|(group, x)| self.group(group * self.planes.images, &of(x)));
        } else {
            // Too few for parallel work: one group after the other, whose rows are shared out.
            let groups = source.numbers.chunks(self.planes.images * image).enumerate();
            groups.for_each(|(group, x)| self.shared_group(group * self.planes.images, &of(x)));
        }
    }

    /// Numbers of a group's planes of `channels` channels.
    fn planes_len(&self, channels: usize) -> usize {
        channels * self.planes.phases() * self.planes.len
    }

    /// All products of one group of images, from image `first` on.
    fn group(&self, first: usize, source: &Source<'_>) {
        let filled = self.planes_len(source.channels);
        let at_once =
            |product: &Product| (PACKED_NUMBERS / packed_len(self.kernels, product.weights.terms(), 1)).max(1);
        let lens = self.products.iter().map(|product| {
            if product.reads_in_place(self.kernels) {
                let span = product.span(self.planes, source.images());
                return product.weights.rows() * in_place_len(self.kernels, span);
            }
            let blocks = at_once(product).min(product.wanted.blocks(self.kernels, source.images()));
            let memory = product.weights.memory(self.kernels, blocks * self.kernels.block());
            packed_len(self.kernels, product.weights.terms(), blocks) + memory
        });
        scratch::with(filled + lens.max().unwrap_or(0), |scratch| {
            let (filling, scratch) = scratch.split_at_mut(filled);
            self.planes.fill(source, 0..source.channels, filling);
            for product in self.products {
                if product.reads_in_place(self.kernels) {
                    // SAFETY: groups share no images.
                    unsafe { self.in_place(product, first, source.images(), filling, scratch) };
                    continue;
                }
                let blocks = product.wanted.blocks(self.kernels, source.images());
                for start in (0..blocks).step_by(at_once(product)) {
                    let range = start..blocks.min(start + at_once(product));
                    let terms = product.weights.terms();
                    let (packed, memory) = scratch.split_at_mut(packed_len(self.kernels, terms, range.len()));
                    let each = packed.chunks_exact_mut(packed_len(self.kernels, terms, 1));
                    for (block, to) in range.clone().zip(each) {
                        product.wanted.pack(self.kernels, filling, &product.offsets, block, to);
                    }
                    let packed = Packed::new(self.kernels, terms, packed);
                    for panel in 0..product.weights.count() {
                        // SAFETY: groups share no images.
                        unsafe { self.panel(product, panel, first, source.images(), start, &packed, memory) };
                    }
                }
            }
        });
    }

    /// A product of few rows, over the whole span of the group's planes.
    ///
    /// # Safety
    /// The images from `first` on belong to this task alone.
    unsafe fn in_place(&self, product: &Product, first: usize, images: usize, planes: &[f32], memory: &mut [f32]) {
        let span = product.span(self.planes, images);
        let stride = in_place_len(self.kernels, span);
        product.weights.multiply_in_place(self.kernels, &product.offsets, planes, span, (memory, stride));
        let columns = product.columns.count;
        for image in 0..images {
            for row in 0..product.rows.count {
                let from = &memory[image * self.planes.image_len() + row * self.planes.columns.pitch..];
                let pixel = (image * product.rows.count + row) * columns;
                // SAFETY: the caller's promise.
                unsafe {
                    let rows = 0..product.weights.rows();
                    self.target.write(product, first, rows, pixel..pixel + columns, (from, stride));
                }
            }
        }
    }

    /// The same, with the group's work shared out to all threads.
    fn shared_group(&self, first: usize, source: &Source<'_>) {
        let per_channel = self.planes_len(1);
        let mut filling = vec![0.0; self.planes_len(source.channels)];
        filling.par_chunks_mut(per_channel).enumerate().for_each(|(channel, out)| {
            self.planes.fill(source, channel..channel + 1, out);
        });
        for product in self.products {
            let (terms, blocks) = (product.weights.terms(), product.wanted.blocks(self.kernels, source.images()));
            let mut packed = vec![0.0; packed_len(self.kernels, terms, blocks)];
            packed.par_chunks_exact_mut(packed_len(self.kernels, terms, 1)).enumerate().for_each(|(block, to)| {
                product.wanted.pack(self.kernels, &filling, &product.offsets, block, to);
            });
            let packed = Packed::new(self.kernels, terms, &packed);
            (0..product.weights.count()).into_par_iter().for_each(|panel| {
                scratch::with(product.weights.memory(self.kernels, packed.pixels()), |memory| {
                    // SAFETY: panels share no channels.
                    unsafe { self.panel(product, panel, first, source.images(), 0, &packed, memory) };
                });
            });
        }
    }

    /// One panel's rows at the packed pixels, which start with block `start`.
    ///
    /// # Safety
    /// These pixels of these rows belong to this task alone.
    unsafe fn panel(
        &self,
        product: &Product,
        panel: usize,
        first_image: usize,
        images: usize,
        start: usize,
        packed: &Packed<'_>,
        memory: &mut [f32],
    ) {
        let (channels, products) = product.weights.multiply(self.kernels, panel, packed, memory);
        let first_pixel = start * self.kernels.block();
        let last_pixel = (first_pixel + packed.pixels()).min(images * product.rows.count * product.columns.count);
        // SAFETY: the caller's promise.
        unsafe {
            let from = (products, packed.pixels());
            self.target.write(product, first_image, channels, first_pixel..last_pixel, from);
        }
    }
}

/// Planes of the output gradient as the weight gradient multiplies them: at the same places as the input's planes.
pub(super) fn aligned_gradient_planes(s: &ConvShape, input: &Planes) -> Planes {
    let axis =
        |pitch: usize, count: usize| Axis { front: 0, pitch, phases: vec![Pixels { first: 0, count }], stride: 1 };
    let rows = axis(input.rows.pitch, s.out_height());
    let columns = axis(input.columns.pitch, s.out_width());
    Planes::new(rows, columns, input.images, (0, 0))
}
