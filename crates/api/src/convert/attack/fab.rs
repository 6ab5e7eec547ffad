//! Fast adaptive boundary attack.

use rrm_spec::FabSpec;

use crate::{
    convert::{OnWire, Reader},
    wire,
};

impl OnWire for FabSpec {
    type Wire = wire::Fab;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, iterations, restarts, targets } = self;
        wire::Fab {
            threat: Some(threat.to_wire()),
            iterations: iterations.to_wire(),
            restarts: restarts.to_wire(),
            targets: targets.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Fab { threat, iterations, restarts, targets } = wire;
        let threat = reader.required("threat", threat);
        let iterations = reader.field("iterations", iterations);
        let restarts = reader.field("restarts", restarts);
        let targets = reader.optional("targets", targets);
        Some(Self { threat: threat?, iterations: iterations?, restarts: restarts?, targets: targets? })
    }
}
