#![doc = include_str!("../README.md")]

mod checkpoint;
mod dnn;
mod error;
mod head;
mod init;
mod layers;
mod model;
mod network;
mod resnet;
mod spec;
mod vgg;
mod weights;

pub use error::{LoadFault, Mismatch, Mismatches, ModelError};
pub use model::{Model, Output};
pub use network::Network;
pub use spec::NetworkSpec;
