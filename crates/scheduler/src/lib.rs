#![doc = include_str!("../README.md")]

mod access;
mod artifacts;
mod backup;
mod clock;
mod config;
mod daemon;
mod error;
mod follow;
mod hand_out;
mod images;
mod leases;
mod logs;
mod meters;
mod pages;
mod serve;
mod service;
mod state_dir;
mod sweep;
mod watch;

pub use backup::{BackupError, Checked, Inventory, back_up, restore, verify};
pub use clock::Clock;
pub use config::{Config, ConfigError, Http, ServeFlags, state_dir_or_default};
pub use daemon::Daemon;
pub use error::StartError;
pub use leases::{Leases, Terms};
pub use serve::serve;
pub use state_dir::StateDir;
