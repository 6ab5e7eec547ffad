#![doc = include_str!("../README.md")]

mod artifact;
mod attempt;
mod cancel;
mod checkpoint;
mod diagnostic;
mod epoch;
mod error;
mod evaluation;
mod event;
mod import;
mod job;
mod lease;
mod names;
mod open;
mod record;
mod schema;
mod settle;
mod store;
mod submission;
mod view;
mod worker;
mod writer;

pub use artifact::{CollectArtifacts, KeepArtifact, LoseArtifacts};
pub use attempt::End;
pub use cancel::Cancel;
pub use error::{OpenError, StoreError};
pub use import::KeepImport;
pub use lease::Lease;
pub use record::Report;
pub use settle::{Expire, Settle};
pub use store::Store;
pub use submission::{Submit, Submitted};
pub use view::{JobFilter, Running, Standing};
pub use worker::{Depart, Departure, Register};
pub use writer::{Tx, Write};
