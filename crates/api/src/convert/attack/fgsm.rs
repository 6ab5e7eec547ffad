//! The fast gradient sign method.

use rrm_spec::FgsmSpec;

use crate::{
    convert::{OnWire, Reader, wire_enum},
    wire,
};

wire_enum!(FgsmDialect { Goodfellow => Goodfellow, Wong => Wong, Tramer => Tramer });

impl OnWire for FgsmSpec {
    type Wire = wire::Fgsm;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, dialect, step_size } = self;
        wire::Fgsm {
            threat: Some(threat.to_wire()),
            dialect: dialect.to_wire(),
            step_size: step_size.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Fgsm { threat, dialect, step_size } = wire;
        let threat = reader.required("threat", threat);
        let dialect = reader.field("dialect", dialect);
        let step_size = reader.optional("step_size", step_size);
        Some(Self { threat: threat?, dialect: dialect?, step_size: step_size? })
    }
}
