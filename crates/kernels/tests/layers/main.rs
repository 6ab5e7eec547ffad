//! The promises of the crate, checked through its public interface.

mod batches;
mod conventions;
mod frozen;
mod gradients;
mod instruction_sets;
mod kept;
mod not_finite;
mod precision;
mod single;
mod support;
mod threads;
mod updates;
