//! Where products go: finished, into the planes of an output.

use std::ops::Range;

use super::product::Product;
use crate::epilogue::Finish;
use crate::output::Shared;

/// What the products of a pass write to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Distance of two pixels of a product.
    pub(super) stride: usize,
    pub(super) numbers: &'a Shared<'a, f32>,
    pub(super) finish: Finish<'a, f32>,
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
    pub(super) unsafe fn write(
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
