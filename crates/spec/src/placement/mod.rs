//! Which job may start on which devices: plain functions of what is known at a moment.
//!
//! The queue offers its jobs to a worker in their order, one after the other ([`Round`]). A job that asks for more than is free keeps
//! its place: others may pass it for a while ([`PATIENCE_US`]), after that what it needs is kept for it. These functions know nothing
//! of priorities and owners: the order is the caller's.

mod node;
mod round;

pub use node::{Demand, DeviceMisfit, Node, NodeMisfit, Part, Seat};
pub use round::{Booking, Candidate, Offer, PATIENCE_US, Round};
