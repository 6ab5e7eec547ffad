#![doc = include_str!("../README.md")]

mod access;
mod artifacts;
mod config;
mod daemon;
mod error;
mod follow;
mod hand_out;
mod images;
mod leases;
mod logs;
mod serve;
mod service;
mod state_dir;
mod sweep;
mod watch;

pub use config::{Config, ConfigError, ServeFlags};
pub use daemon::Daemon;
pub use error::StartError;
pub use leases::{Leases, Terms};
pub use serve::serve;
pub use state_dir::StateDir;
