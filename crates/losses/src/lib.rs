#![doc = include_str!("../README.md")]

mod classification;
mod divergence;
mod dlr;
mod representation;
mod rows;

pub use classification::{cross_entropy, soft_target_kl};
pub use divergence::kl_divergence;
pub use dlr::{dlr, targeted_dlr};
pub use representation::{cosine, l2_distance, relative_l2};
