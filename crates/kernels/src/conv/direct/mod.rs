//! Direct convolution for f32 with any kernel, stride, padding and number of channels.
//!
//! A group of images is laid out so that each tap is a shift (see [`axis`]); then every pass is a product of small matrices
//! whose vectors run along pixels, so that one channel costs one channel's work: nothing is padded to a vector of channels.
//! Groups of images are the unit of parallel work.

mod axis;
mod by_lines;
mod kernel;
mod layout;
mod packing;
mod panels;
mod pass;
mod planes;
mod pointwise;
mod product;
mod target;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weight_gradient;

pub(super) use kernel::Kernels;
pub(super) use panels::Panels;
pub(super) use pass::forward_packed;
pub(crate) use pass::{forward, input_gradient};
pub(crate) use weight_gradient::weight_gradient;
