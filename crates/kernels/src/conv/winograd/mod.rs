//! Winograd's F(4×4, 3×3) for f32: 3×3 convolutions of stride 1 with a quarter of the products.
//!
//! Inside, channels lie in lines of 16, so that transforms and products run on whole vectors of channels, and the transformed
//! tiles are laid out as the products read them. Images come and go as planes. Errors are about 8e-7 of the numbers' size
//! (relative, L2), four times those of the direct convolution.

mod kernel;
mod lines;
mod points;
mod products;
#[cfg(test)]
mod tests;
mod tiling;
mod transform;
mod weight_gradient;
mod weights;

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
    const MIN_SIZE: usize = 2;
    let channels = s.in_channels.min(s.out_channels);
    can(s) && channels >= MIN_CHANNELS && s.out_height().min(s.out_width()) >= MIN_SIZE
}
