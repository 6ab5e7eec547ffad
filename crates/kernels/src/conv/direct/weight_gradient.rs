//! Weight gradient: sums over pixels of gradient planes times shifted input planes.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::by_lines;
use super::kernel::Kernels;
use super::layout::{aligned_gradient_planes, input_planes};
use super::panels::part;
use super::planes::{Planes, Source};

use crate::conv::partials::sum_partials;
use crate::conv::shape::ConvShape;
use crate::output::cleared;
use crate::scratch;
use crate::simd::Isa;

/// Weights up to this number get one partial sum per chunk of images; larger ones are shared out by output channel.
const MAX_PARTIAL: usize = 1 << 17;

/// Chunks of images with a partial sum each: the limit of parallel work, and fixed, because it decides the order of sums.
const CHUNKS: usize = 16;

/// Pixels that a product sums over at least, if there are as many: fewer, and adding up the lanes takes longer than the products.
const MIN_PIXELS: usize = 1536;

/// Pixels beyond which that no longer matters.
const GOOD_PIXELS: usize = 6000;

/// Numbers of input planes that should stay in a core's second-level cache.
const CACHE_NUMBERS: usize = 100 * 1024;

/// The gradient's planes, the input's planes, and where the taps lie in them.
struct Layout {
    input: Planes,
    gradient: Planes,
    taps: Vec<u32>,
}

/// `out[o][c][ky][kx] = Σ gradient * x` over all images.
pub(crate) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    if by_lines::suits(s) {
        return by_lines::weight_gradient(isa, s, x, gradient, out);
    }
    let kernels = Kernels::of(isa);
    let (input, taps) = input_planes(s, |numbers, pixels| {
        let (enough, cached) = (MIN_PIXELS / pixels, CACHE_NUMBERS / numbers);
        enough.max(cached.min(GOOD_PIXELS / pixels)).clamp(1, s.images.max(1))
    });
    let gradient_planes = aligned_gradient_planes(s, &input);
    let layout = Layout { input, gradient: gradient_planes, taps: taps.into_iter().flatten().collect() };
    if s.weight_len() <= MAX_PARTIAL {
        sum_chunks(kernels, s, &layout, x, gradient, out);
    } else {
        share_channels(kernels, s, &layout, x, gradient, cleared(out));
    }
}

/// Each chunk of images sums for itself; then the chunks are summed in order.
fn sum_chunks(
    kernels: &Kernels,
    s: &ConvShape,
    layout: &Layout,
    x: &[f32],
    gradient: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let (x_image, g_image) = (s.in_channels * s.in_plane(), s.out_channels * s.out_plane());
    let (x_planes, g_planes) = lengths(s, layout);
    sum_partials(CHUNKS, out, |chunk, partial| {
        partial.fill(0.0);
        let images = part(s.images, CHUNKS, chunk);
        scratch::with(x_planes + g_planes, |memory| {
            let (x_planes, g_planes) = memory.split_at_mut(x_planes);
            for first in images.clone().step_by(layout.input.images) {
                let last = (first + layout.input.images).min(images.end);
                layout.input.fill(&x_source(s, &x[first * x_image..last * x_image]), 0..s.in_channels, x_planes);
                let source = g_source(s, &gradient[first * g_image..last * g_image]);
                layout.gradient.fill(&source, 0..s.out_channels, g_planes);
                accumulate(kernels, layout, last - first, x_planes, g_planes, partial);
            }
        });
    });
}

/// One group of images after the other is laid out by all threads, which then share its output channels; adds to `out`.
fn share_channels(kernels: &Kernels, s: &ConvShape, layout: &Layout, x: &[f32], gradient: &[f32], out: &mut [f32]) {
    /// Output channels of one task.
    const TASK_CHANNELS: usize = 16;
    let (x_image, g_image) = (s.in_channels * s.in_plane(), s.out_channels * s.out_plane());
    let (x_len, g_len) = lengths(s, layout);
    let (mut x_planes, mut g_planes) = (vec![0.0; x_len], vec![0.0; g_len]);
    let per_channel = layout.input.phases() * layout.input.len;
    for first in (0..s.images).step_by(layout.input.images) {
        let last = (first + layout.input.images).min(s.images);
        let source = x_source(s, &x[first * x_image..last * x_image]);
        x_planes.par_chunks_mut(per_channel).enumerate().for_each(|(channel, planes)| {
            layout.input.fill(&source, channel..channel + 1, planes);
        });
        let source = g_source(s, &gradient[first * g_image..last * g_image]);
        g_planes.par_chunks_mut(layout.gradient.len).enumerate().for_each(|(channel, plane)| {
            layout.gradient.fill(&source, channel..channel + 1, plane);
        });
        let tasks = g_planes.par_chunks(TASK_CHANNELS * layout.gradient.len);
        out.par_chunks_mut(TASK_CHANNELS * layout.taps.len()).zip(tasks).for_each(|(out, g_planes)| {
            accumulate(kernels, layout, last - first, &x_planes, g_planes, out);
        });
    }
}

fn x_source<'a>(s: &ConvShape, numbers: &'a [f32]) -> Source<'a> {
    Source { numbers, channels: s.in_channels, height: s.height, width: s.width }
}

fn g_source<'a>(s: &ConvShape, numbers: &'a [f32]) -> Source<'a> {
    Source { numbers, channels: s.out_channels, height: s.out_height(), width: s.out_width() }
}

/// Numbers of the input's and the gradient's planes.
fn lengths(s: &ConvShape, layout: &Layout) -> (usize, usize) {
    let x = s.in_channels * layout.input.phases() * layout.input.len;
    (x, s.out_channels * layout.gradient.len)
}

/// Adds one group's products to `out`, which has a row of taps for each of the gradient's planes.
fn accumulate(kernels: &Kernels, layout: &Layout, images: usize, x: &[f32], gradient: &[f32], out: &mut [f32]) {
    let terms = layout.taps.len();
    let rows = out.len() / terms;
    let vectors = (images * layout.input.image_len()).div_ceil(kernels.lanes);
    let numbers = vectors * kernels.lanes;
    let reach = layout.taps.iter().max().map_or(0, |&tap| tap as usize);
    assert!(reach + numbers <= x.len() && (rows - 1) * layout.gradient.len + numbers <= gradient.len());
    for first_term in (0..terms).step_by(kernels.gather.len()) {
        let taps = &layout.taps[first_term..terms.min(first_term + kernels.gather.len())];
        let by_rows = kernels.gather[taps.len() - 1];
        for first_row in (0..rows).step_by(by_rows.len()) {
            let kernel = by_rows[by_rows.len().min(rows - first_row) - 1];
            // SAFETY: the kernels belong to this processor; the assert bounds the reads at the furthest offset and row; the
            // kernel's rows and terms are those left in `out`.
            unsafe {
                kernel(
                    gradient.as_ptr().add(first_row * layout.gradient.len),
                    layout.gradient.len,
                    x.as_ptr(),
                    taps.as_ptr(),
                    vectors,
                    out.as_mut_ptr().add(first_row * terms + first_term),
                    terms,
                );
            }
        }
    }
}
