#![doc = include_str!("../README.md")]

mod call;
mod error;
mod service;
mod token;

pub use call::{
    Artifact, AttemptEnd, Follow, JobFilter, LogChunk, Registered, Replies, Source, Submitted, Upload, WatchItem,
};
pub use error::ApiError;
pub use service::Service;
pub use token::{Caller, Role, Token, TokenError, Tokens};

/// This software's version: client and daemon must agree on it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
