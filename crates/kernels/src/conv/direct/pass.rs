//! Forward pass and input gradient: weights times shifted planes.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::axis::Pixels;
use super::kernel::Kernels;
use super::layout::{MIN_GROUPS, group_images, input_planes};
use super::packing::{PACKED_NUMBERS, Packed, Wanted, packed_len};
use super::panels::{Panels, in_place_len};
use super::planes::{Planes, Source};
use super::pointwise;
use super::product::{Product, gradient_products, gradient_weights};
use super::target::Target;
use crate::conv::shape::ConvShape;
use crate::conv::weight::{Purpose, Weight};
use crate::epilogue::Finish;
use crate::output::Shared;
use crate::scratch;
use crate::simd::{Isa, Ready};

/// `out = finish(conv(x, weight))`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: Weight<'_, f32>,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let kernels = Kernels::for_rows(isa, s.out_channels);
    let weights = weight.form(Purpose::Forward, isa, s, || {
        let terms = s.in_channels * s.taps();
        let first: Vec<usize> = (0..terms).collect();
        Panels::pack(kernels, s.out_channels, weight.numbers, &first, terms)
    });
    forward_packed(kernels, s, x, &weights, finish, out);
}

/// The same with weights that are packed already: a row of inputs and taps for each output channel.
pub(crate) fn forward_packed(
    kernels: &Kernels,
    s: &ConvShape,
    x: &[f32],
    weights: &Panels,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    if pointwise::suits(kernels, s) {
        return pointwise::run(kernels, s, x, weights, finish, out);
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
pub(crate) fn input_gradient(
    isa: Isa,
    s: &ConvShape,
    gradient: &[f32],
    weight: Weight<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let kernels = Kernels::for_rows(isa, s.in_channels);
    let weights = weight.form(Purpose::InputGradient, isa, s, || gradient_weights(kernels, s, weight.numbers));
    if pointwise::suits(kernels, s) {
        let transposed = ConvShape { in_channels: s.out_channels, out_channels: s.in_channels, ..*s };
        return pointwise::run(kernels, &transposed, gradient, &weights[0], Finish::NONE, out);
    }
    let (planes, products) = gradient_products(kernels, s, &weights);
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

/// The products of a pass.
struct Pass<'a> {
    kernels: &'a Kernels,
    planes: &'a Planes,
    products: &'a [Product<'a>],
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
        let (images, filled) = (first..first + source.images(), self.planes_len(source.channels));
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
                    let packed = Packed::new(self.kernels, terms, packed, start);
                    let ready = self.kernels.isa.ready();
                    for panel in 0..product.weights.count() {
                        // SAFETY: groups share no images.
                        unsafe { self.panel(&ready, product, panel, &images, &packed, memory) };
                    }
                    drop(ready);
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
            let packed = Packed::new(self.kernels, terms, &packed, 0);
            (0..product.weights.count()).into_par_iter().for_each(|panel| {
                scratch::with(product.weights.memory(self.kernels, packed.pixels()), |memory| {
                    let ready = self.kernels.isa.ready();
                    // SAFETY: panels share no channels.
                    unsafe { self.panel(&ready, product, panel, &(first..first + source.images()), &packed, memory) };
                });
            });
        }
    }

    /// One panel's rows at the packed pixels of `images`.
    ///
    /// # Safety
    /// These pixels of these rows belong to this task alone.
    unsafe fn panel(
        &self,
        ready: &Ready,
        product: &Product,
        panel: usize,
        images: &Range<usize>,
        packed: &Packed<'_>,
        memory: &mut [f32],
    ) {
        let (channels, products) = product.weights.multiply(ready, self.kernels, panel, packed, memory);
        let all = images.len() * product.rows.count * product.columns.count;
        let pixels = packed.first_pixel()..(packed.first_pixel() + packed.pixels()).min(all);
        // SAFETY: the caller's promise.
        unsafe { self.target.write(product, images.start, channels, pixels, (products, packed.pixels())) };
    }
}
