//! The types of the wire, generated from `proto/`. Nothing outside of this crate sees them.

#![allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; the proto files document them"
)]

tonic::include_proto!("rrm.v1");

/// The same as a google.protobuf.FileDescriptorSet, for server reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
