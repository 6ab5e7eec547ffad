//! Carlini & Wagner's l2 attack.

use rrm_spec::CarliniWagnerSpec;

use crate::{
    convert::{OnWire, Reader},
    wire,
};

impl OnWire for CarliniWagnerSpec {
    type Wire = wire::CarliniWagner;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, iterations, search_steps, learning_rate, initial_constant, confidence } = self;
        wire::CarliniWagner {
            threat: Some(threat.to_wire()),
            iterations: iterations.to_wire(),
            search_steps: search_steps.to_wire(),
            learning_rate,
            initial_constant,
            confidence,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::CarliniWagner { threat, iterations, search_steps, learning_rate, initial_constant, confidence } =
            wire;
        let threat = reader.required("threat", threat);
        let iterations = reader.field("iterations", iterations);
        let search_steps = reader.field("search_steps", search_steps);
        Some(Self {
            threat: threat?,
            iterations: iterations?,
            search_steps: search_steps?,
            learning_rate,
            initial_constant,
            confidence,
        })
    }
}
