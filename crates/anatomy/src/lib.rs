#![doc = include_str!("../README.md")]

mod alexnet;
mod anatomy;
mod builder;
mod dnn;
mod layer;
mod preact_resnet;
mod resnet;
mod vgg;
mod vgg16;

pub use anatomy::Anatomy;
pub use layer::{After, Layer, Operation, Role, Shape, Tensor};
