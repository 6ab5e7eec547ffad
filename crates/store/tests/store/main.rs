//! The store as the daemon uses it: every change and every query against a real database file.

mod artifact;
mod bench;
mod cancel;
mod grafana;
mod import;
mod lease;
mod model;
mod page;
mod record;
mod reuse;
mod settle;
mod submission;
mod view;
mod writer;
