//! The store as the daemon uses it: every change and every query against a real database file.

mod artifact;
mod bench;
mod cancel;
mod device;
mod explain;
mod import;
mod lease;
mod model;
mod placement;
mod record;
mod reuse;
mod scale;
mod settle;
mod submission;
mod view;
mod writer;
