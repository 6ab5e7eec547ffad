//! The types of the wire, generated from `proto/`. Nothing outside of this crate sees them.

#![allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; the proto files document them"
)]

tonic::include_proto!("rrm.v1");
