//! Random changes to training images: the transforms of torchvision on Pillow's 8-bit images, with the choices given.
//!
//! Images are channel-major (C·H·W) bytes. What is drawn apart from what is done: the first is ours, the second agrees
//! with Pillow to the byte.

mod colour;
mod crop;
mod heavy;
mod imagenet;
mod rotation;

pub use colour::{Colour, adjust, luma};
pub use crop::{Draws, Flip, PADDING, light};
pub use heavy::{HeavyDraws, heavy};
pub(crate) use imagenet::finished;
pub use imagenet::{ImageNetDraws, imagenet, lighting};
pub use rotation::rotate;
