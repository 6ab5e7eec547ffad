#![doc = include_str!("../README.md")]

mod alexnet;
mod checkpoint;
mod dnn;
mod dropout;
mod error;
mod head;
mod init;
mod layers;
mod model;
mod network;
mod preact_resnet;
mod random;
mod resnet;
mod vgg;
mod vgg16;
mod weights;

pub use error::{LoadFault, Mismatch, Mismatches, ModelError};
pub use model::{Model, Output};
pub use network::Network;
pub use rrm_spec::NetworkSpec;
