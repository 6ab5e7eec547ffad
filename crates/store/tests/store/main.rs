//! The store as the daemon uses it: every change and every query against a real database file.

mod access;
mod artifact;
mod bench;
mod cancel;
mod change;
mod drain;
mod import;
mod lease;
mod model;
mod page;
mod preempt;
mod record;
mod retry;
mod reuse;
mod settle;
mod submission;
mod view;
mod writer;
