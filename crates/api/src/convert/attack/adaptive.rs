//! Attacks that know the teacher.

use rrm_spec::AdaptiveSpec;

use crate::{
    convert::{OnWire, Reader, wire_enum},
    wire,
};

wire_enum!(Through {
    All => All,
    Transfer => Transfer,
    Representation => Representation,
    Joint => Joint,
});

impl OnWire for AdaptiveSpec {
    type Wire = wire::Adaptive;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, through, iterations, restarts, distance, weight } = self;
        wire::Adaptive {
            threat: Some(threat.to_wire()),
            through: through.to_wire(),
            iterations: iterations.to_wire(),
            restarts: restarts.to_wire(),
            distance: distance.to_wire(),
            weight,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Adaptive { threat, through, iterations, restarts, distance, weight } = wire;
        let threat = reader.required("threat", threat);
        let through = reader.field("through", through);
        let iterations = reader.field("iterations", iterations);
        let restarts = reader.field("restarts", restarts);
        let distance = reader.field("distance", distance);
        Some(Self {
            threat: threat?,
            through: through?,
            iterations: iterations?,
            restarts: restarts?,
            distance: distance?,
            weight,
        })
    }
}
