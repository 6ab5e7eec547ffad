#![doc = include_str!("../README.md")]

pub mod augment;
mod batches;
pub mod catalogue;
mod check;
mod cifar_binary;
mod cifar_python;
mod error;
mod fashion_mnist;
mod folder;
mod image_set;
mod images;
mod mat5;
mod picture;
mod prepare;
mod resize;
mod restricted_imagenet;
mod rng;
mod svhn;

pub use batches::{Batch, Batches, natural_batch, order, test_batches, train_batches};
pub use check::{Description, Format, check};
pub use error::DataError;
pub use image_set::{read_set, set_bytes};
pub use images::{Images, Shape, Split, open};
pub use picture::Picture;
pub use resize::Rect;
pub use rng::{ImageRng, Stream};
