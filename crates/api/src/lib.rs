#![doc = include_str!("../README.md")]

mod call;
mod client;
mod convert;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod server;
mod service;
mod status;
mod tls;
mod token;
mod transfer;
mod wire;

pub use call::{
    About, Artifact, AttemptEnd, Follow, ImagesFrom, ImagesPage, JobFilter, LastPlan, LogChunk, Registered, Replies,
    Reuse, Source, Strict, Submitted, Upload, WatchItem, Wishes,
};
pub use client::{Client, Endpoint};
pub use error::ApiError;
pub use rrm_spec::Role;
pub use server::serve;
pub use service::Service;
pub use tls::{ClientIdentity, ClientTls, ServerTls};
pub use token::{Caller, Token, TokenError, Tokens};

/// This software's version: client and daemon must agree on it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Metadata under which a client tells its version.
const VERSION_KEY: &str = "rrm-version";

/// Larger messages are refused on both sides; artifacts and logs come in pieces.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
