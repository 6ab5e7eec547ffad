#![doc = include_str!("../README.md")]

mod dtype;
mod error;
mod file;
mod finding;
mod import;
mod infer;
mod misfit;
mod names;
mod normalizer;
mod printable;
mod tensor;
mod torch;
mod torch_legacy;
mod torch_zip;

pub use dtype::Dtype;
pub use error::CheckpointError;
pub use file::{Form, LARGEST_FILE, read_file};
pub use finding::{Finding, Weight};
pub use import::{Imported, Wanted, import};
pub use misfit::{Misfit, Misfits};
pub use tensor::Numbers;
