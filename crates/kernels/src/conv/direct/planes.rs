//! A group of images in working memory: one padded plane per channel and phase, the images one behind the other.

use super::axis::{Axis, Pixels};
use crate::element::Element;
use crate::simd::vectorized;

/// How the planes of a group lie in memory.
#[derive(Clone, Debug)]
pub(crate) struct Planes {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    /// Images per group.
    pub(crate) images: usize,
    /// Distance of two planes.
    pub(crate) len: usize,
}

/// Numbers that a kernel may read behind the last pixel: one tile of the widest kernel.
const TILE_SLACK: usize = 6 * 16;

impl Planes {
    /// Planes of `images` images whose taps reach at most `rows` and `columns` further than the first.
    pub(crate) fn new(rows: Axis, columns: Axis, images: usize, reach: (usize, usize)) -> Self {
        let pixels = images * rows.pitch * columns.pitch;
        let len = pixels + reach.0 * columns.pitch + reach.1 + TILE_SLACK;
        // An odd number of cache lines: planes a power of two apart would all fall into the same few cache sets.
        let len = (len.div_ceil(16) | 1) * 16;
        Self { rows, columns, images, len }
    }

    /// Numbers from one image to the next.
    pub(crate) fn image_len(&self) -> usize {
        self.rows.pitch * self.columns.pitch
    }

    /// Planes per channel.
    pub(crate) fn phases(&self) -> usize {
        self.rows.phases.len() * self.columns.phases.len()
    }

    /// Offset that a tap reads: `row` and `column` are its phase and shift.
    pub(crate) fn offset(&self, channel: usize, row: (usize, usize), column: (usize, usize)) -> u32 {
        let plane = channel * self.phases() + row.0 * self.columns.phases.len() + column.0;
        let offset = plane * self.len + row.1 * self.columns.pitch + column.1;
        u32::try_from(offset).expect("a group of images is far smaller than 2^32 numbers")
    }

    /// Lays out channels `channels` of at most a group's images.
    pub(crate) fn fill(&self, source: &Source<'_>, channels: std::ops::Range<usize>, out: &mut [f32]) {
        let planes = channels.flat_map(|channel| (0..self.phases()).map(move |phase| (channel, phase)));
        for ((channel, phase), out) in planes.zip(out.chunks_exact_mut(self.len)) {
            self.fill_plane(source, channel, phase, out);
        }
    }

    fn fill_plane(&self, source: &Source<'_>, channel: usize, phase: usize, out: &mut [f32]) {
        let columns = self.columns.phases.len();
        let (rows, columns) = (self.rows.phases[phase / columns], self.columns.phases[phase % columns]);
        let layout = Layout {
            rows: Run { front: self.rows.front, pitch: self.rows.pitch, pixels: rows },
            columns: Run { front: self.columns.front, pitch: self.columns.pitch, pixels: columns },
            stride: self.rows.stride,
            width: source.width,
        };
        let (images, behind) = out.split_at_mut(source.images() * self.image_len());
        // Unless the only pixel lies where no tap reads.
        if self.image_len() == 1 && (rows.count, columns.count) == (1, 1) && source.height * source.width == 1 {
            let numbers = source.numbers.iter().skip(channel).step_by(source.channels);
            images.iter_mut().zip(numbers).for_each(|(out, &number)| *out = number);
        } else {
            self.fill_images(source, channel, layout, images);
        }
        behind.fill(0.0);
    }

    fn fill_images(&self, source: &Source<'_>, channel: usize, layout: Layout, images: &mut [f32]) {
        for (image, out) in images.chunks_exact_mut(self.image_len()).enumerate() {
            lay_out(source.plane(image, channel), layout, out);
        }
    }
}

/// Where one phase of a plane goes.
#[derive(Clone, Copy)]
struct Layout {
    rows: Run,
    columns: Run,
    stride: usize,
    width: usize,
}

/// `front` zeros, the pixels, and zeros up to `pitch`.
#[derive(Clone, Copy)]
struct Run {
    front: usize,
    pitch: usize,
    pixels: Pixels,
}

vectorized! {
    fn lay_out<T: Element>(plane: &[T], layout: Layout, out: &mut [T]) {
        let Layout { rows, columns, stride, width } = layout;
        let (front, out) = out.split_at_mut(rows.front * columns.pitch);
        front.fill(T::ZERO);
        let (pixels, behind) = out.split_at_mut(rows.pixels.count * columns.pitch);
        behind.fill(T::ZERO);
        if columns.pixels.count == 0 {
            return pixels.fill(T::ZERO);
        }
        for (row, out) in pixels.chunks_exact_mut(columns.pitch).enumerate() {
            let from = &plane[(rows.pixels.first + row * stride) * width + columns.pixels.first..];
            let (front, out) = out.split_at_mut(columns.front);
            front.iter_mut().for_each(|out| *out = T::ZERO);
            let (out, behind) = out.split_at_mut(columns.pixels.count);
            behind.iter_mut().for_each(|out| *out = T::ZERO);
            if stride == 1 {
                copy(&from[..out.len()], out);
            } else {
                out.iter_mut().zip(from.iter().step_by(stride)).for_each(|(out, &from)| *out = from);
            }
        }
    }
}

/// Copies a row. Rows are short: blocks of known size spare a library call each.
#[inline(always)]
fn copy<T: Element>(from: &[T], to: &mut [T]) {
    const BLOCK: usize = 16;
    let whole = from.len() / BLOCK * BLOCK;
    for (from, to) in from.chunks_exact(BLOCK).zip(to.chunks_exact_mut(BLOCK)) {
        to.copy_from_slice(from);
    }
    to[whole..].iter_mut().zip(&from[whole..]).for_each(|(to, &from)| *to = from);
}

/// Images (n, C, H, W) to lay out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Source<'_> {
    pub(crate) fn images(&self) -> usize {
        self.numbers.len() / (self.channels * self.height * self.width)
    }

    fn plane(&self, image: usize, channel: usize) -> &[f32] {
        let plane = self.height * self.width;
        &self.numbers[(image * self.channels + channel) * plane..][..plane]
    }
}
