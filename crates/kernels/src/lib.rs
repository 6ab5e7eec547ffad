#![doc = include_str!("../README.md")]

mod activation;
mod changes;
mod conv;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod dropout;
mod element;
mod epilogue;
mod finite;
mod graph;
mod linear;
mod memory;
mod norm;
mod normalize;
mod output;
mod pool;
mod precision;
mod scoped;
mod scratch;
mod sgd;
mod simd;
mod threads;

pub use activation::relu;
pub use conv::{
    Conv2dConfig, FrozenNorm, KeptConv2d, conv2d, conv2d_activated, conv2d_finished, conv2d_frozen_norm,
    weight_gradient_passes, with_direct_convolutions,
};
pub use dropout::dropout;
pub use epilogue::{Activation, Epilogue};
pub use finite::{Culprit, first_not_finite, watched};
pub use graph::live_results;
pub use linear::linear;
pub use memory::{CacheLines, keep_freed_memory};
pub use norm::{BatchStatistics, batch_norm_eval, batch_norm_train};
pub use normalize::normalize;
pub use pool::{PoolConfig, avg_pool2d, max_pool2d, relu_max_pool2d};
pub use precision::{Precision, allow_tf32, autocast, bf16_products, tf32_allowed};
pub use sgd::{SgdConfig, sgd_step, update_running};
pub use simd::{instruction_set, instruction_sets};
pub use threads::{set_threads, threads};
