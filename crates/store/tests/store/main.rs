//! The store as the daemon uses it: every change and every query against a real database file.

mod access;
mod artifact;
mod bench;
mod cancel;
mod change;
mod device;
mod drain;
mod explain;
mod grafana;
mod import;
mod lease;
mod model;
mod page;
mod placement;
mod preempt;
mod record;
mod retry;
mod reuse;
mod scale;
mod settle;
mod submission;
mod view;
mod writer;
