//! Winograd's F(4×4, 3×3) for f32: 3×3 convolutions of stride 1 with a quarter of the products.
//!
//! Inside, channels lie in lines of 16, so that transforms and products run on whole vectors of channels, and the transformed
//! tiles are laid out as the products read them. Images come and go as planes. Errors are about 8e-7 of the numbers' size
//! (relative, L2), four times those of the direct convolution.

mod factor;
mod kernel;
mod lines;
mod points;
mod products;
#[cfg(test)]
mod rounding;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod tiling;
mod transform;
mod weight_gradient;
mod weights;

pub(super) use kernel::{LINE, Products};
pub(super) use lines::Lines;
pub(super) use points::{Images, Output};
pub(crate) use products::{forward, input_gradient};
pub(crate) use weight_gradient::weight_gradient;

use crate::conv::shape::ConvShape;

/// Whether this algorithm can compute the convolution.
pub(crate) fn can(s: &ConvShape) -> bool {
    s.kernel == 3 && s.stride == 1 && s.padding < s.kernel
}

/// Whether it is also the faster one: with fewer channels lines stay empty, with smaller images tiles do.
pub(crate) fn suits(s: &ConvShape) -> bool {
    const MIN_CHANNELS: usize = 16;
    // A 2x2 image fills a quarter of its tile, so there is no gain, and the transforms round worst there: a VGG11's logits
    // then miss the reference's by 1.3e-5 of the largest, of which 1e-5 is allowed.
    const MIN_SIZE: usize = 4;
    let channels = s.in_channels.min(s.out_channels);
    can(s) && channels >= MIN_CHANNELS && s.out_height().min(s.out_width()) >= MIN_SIZE
}
