//! A group of images in working memory: one padded plane per channel and phase, the images one behind the other.

use super::axis::Axis;

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

    /// Lays out `channels` channels of the group's images: `images` is (n, C, H, W) from the first wanted channel on, `n` at
    /// most the group's size. `image_stride` is the distance of two images, `width` and `plane` a channel's sizes.
    pub(crate) fn fill(&self, source: &Source<'_>, channels: std::ops::Range<usize>, out: &mut [f32]) {
        let planes = channels.flat_map(|channel| (0..self.phases()).map(move |phase| (channel, phase)));
        for ((channel, phase), out) in planes.zip(out.chunks_exact_mut(self.len)) {
            self.fill_plane(source, channel, phase, out);
        }
    }

    fn fill_plane(&self, source: &Source<'_>, channel: usize, phase: usize, out: &mut [f32]) {
        let columns = self.columns.phases.len();
        let (rows, columns) = (self.rows.phases[phase / columns], self.columns.phases[phase % columns]);
        let mut out = Cursor(out);
        for image in 0..source.images() {
            let plane = source.plane(image, channel);
            out.zeros(self.rows.front * self.columns.pitch);
            for row in 0..rows.count {
                let from =
                    &plane[(rows.first + row * self.rows.stride) * source.width + columns.first.min(source.width)..];
                out.zeros(self.columns.front);
                out.copy(from, columns.count, self.columns.stride);
                out.zeros(self.columns.pitch - self.columns.front - columns.count);
            }
            out.zeros((self.rows.pitch - self.rows.front - rows.count) * self.columns.pitch);
        }
        out.0.fill(0.0);
    }
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

/// Writes numbers one run after the other.
struct Cursor<'a>(&'a mut [f32]);

impl<'a> Cursor<'a> {
    #[inline]
    fn advance(&mut self, count: usize) -> &'a mut [f32] {
        let (run, rest) = std::mem::take(&mut self.0).split_at_mut(count);
        self.0 = rest;
        run
    }

    #[inline]
    fn zeros(&mut self, count: usize) {
        for number in self.advance(count) {
            *number = 0.0;
        }
    }

    #[inline]
    fn copy(&mut self, from: &[f32], count: usize, stride: usize) {
        let to = self.advance(count);
        if stride == 1 {
            copy(&from[..count], to);
        } else {
            to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, &from)| *to = from);
        }
    }
}

/// Copies a row. Rows are short: blocks of known size spare a library call each.
#[inline]
fn copy(from: &[f32], to: &mut [f32]) {
    const BLOCK: usize = 8;
    let (from_blocks, to_blocks) = (from.chunks_exact(BLOCK), to.chunks_exact_mut(BLOCK));
    let whole = from.len() / BLOCK * BLOCK;
    for (from, to) in from_blocks.zip(to_blocks) {
        to.copy_from_slice(from);
    }
    for i in whole..from.len() {
        to[i] = from[i];
    }
}
