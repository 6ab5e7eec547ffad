#![doc = include_str!("../README.md")]

mod classification;
mod dlr;
mod representation;
mod rows;

pub use classification::{cross_entropy, soft_target_kl};
pub use dlr::{dlr, targeted_dlr};
pub use representation::{cosine, relative_l2};
