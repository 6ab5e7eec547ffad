//! Server reflection: the protocol described by itself, for tools such as grpcurl.

use tonic_reflection::server::{Builder, Error, v1, v1alpha};

use crate::wire;

fn descriptors() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// As it is today.
pub(super) fn current() -> Result<v1::ServerReflectionServer<impl v1::ServerReflection>, Error> {
    descriptors().build_v1()
}

/// As older tools ask for it.
pub(super) fn older() -> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>, Error> {
    descriptors().build_v1alpha()
}
