//! Direct convolution in bf16 by AMX's tiles: any kernel, stride and padding.
//!
//! A tile's rows are 16 images at one pixel, each with 32 channels next to each other, so that a tap is another tile, whatever the stride,
//! and nothing is packed twice. A sum is a list of steps: for each tap that falls into the image, and each 32 channels, where the pixel's
//! tile lies and where the weights'. The definition's products cost less here than Winograd's transforms, and are rounded less.
//!
//! Sixteen images are multiplied even where there are fewer: an image's bits must not depend on how many there are.

mod axis;
mod images;
mod pass;
#[cfg(test)]
mod tests;
mod weight_gradient;
mod weights;

pub(crate) use pass::{forward, input_gradient};
pub(crate) use weight_gradient::weight_gradient;

use super::shape::ConvShape;
use crate::simd::Isa;

/// Whether `isa` computes the convolution so.
pub(crate) fn suits(isa: Isa, s: &ConvShape) -> bool {
    /// Half of what a step takes: with fewer, and many taps, a step for each tap has little to do.
    const MIN_CHANNELS: usize = 16;
    const FEW_TAPS: usize = 9;
    isa == Isa::Avx512Amx && (s.in_channels.min(s.out_channels) >= MIN_CHANNELS || s.taps() <= FEW_TAPS)
}
