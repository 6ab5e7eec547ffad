//! Artifacts on their way.

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
