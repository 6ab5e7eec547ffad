//! Artifacts on their way.

use rrm_spec::{ImportedNetwork, NetworkSpec};

use super::{OnWire, Reader};
use crate::{Upload, wire};

impl OnWire for Upload {
    type Wire = wire::UploadHeader;

    fn to_wire(self) -> Self::Wire {
        let Self { attempt, sha256, bytes } = self;
        wire::UploadHeader { attempt: attempt.to_wire(), sha256: sha256.to_wire(), bytes }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::UploadHeader { attempt, sha256, bytes } = wire;
        let attempt = reader.field("attempt", attempt);
        let sha256 = reader.field("sha256", sha256);
        Some(Self { attempt: attempt?, sha256: sha256?, bytes })
    }
}

impl OnWire for ImportedNetwork {
    type Wire = wire::ImportedNetwork;

    fn to_wire(self) -> Self::Wire {
        let Self { name, sha256, bytes, network, origin } = self;
        let (name, sha256, network) = (name.to_wire(), sha256.to_wire(), Some(network.to_wire()));
        wire::ImportedNetwork { name, sha256, bytes, network, origin }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ImportedNetwork { name, sha256, bytes, network, origin } = wire;
        let name = reader.field("name", name);
        let sha256 = reader.field("sha256", sha256);
        let network: Option<NetworkSpec> = reader.required("network", network);
        if let Some(network) = &network {
            reader.at("network").adopt(network.validate());
        }
        Some(Self { name: name?, sha256: sha256?, bytes, network: network?, origin })
    }
}

impl OnWire for NetworkSpec {
    type Wire = wire::Network;

    fn to_wire(self) -> Self::Wire {
        let Self { arch, channels, classes, normalization, representation_width, temperature } = self;
        // A valid network's sizes are far below 2^32.
        let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        wire::Network {
            arch: Some(arch.to_wire()),
            channels: size(channels),
            classes: size(classes),
            normalization: normalization.to_wire(),
            representation_width: size(representation_width),
            temperature: Some(temperature),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Network { arch, channels, classes, normalization, representation_width, temperature } = wire;
        let arch = reader.required("arch", arch);
        let normalization = reader.field("normalization", normalization);
        Some(Self {
            arch: arch?,
            channels: channels as usize,
            classes: classes as usize,
            normalization: normalization?,
            representation_width: representation_width as usize,
            temperature: temperature.unwrap_or(1.0),
        })
    }
}
