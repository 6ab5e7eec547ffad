//! What an evaluation has measured besides.

use rrm_spec::{Diagnostic, DiagnosticsRecord};

use super::{OnWire, Reader, list};
use crate::wire;

impl OnWire for DiagnosticsRecord {
    type Wire = wire::DiagnosticsRecord;

    fn to_wire(self) -> Self::Wire {
        let Self { weights, threat, elapsed_us, numbers } = self;
        wire::DiagnosticsRecord {
            weights: weights.to_wire(),
            threat: Some(threat.to_wire()),
            elapsed_us,
            numbers: list(numbers),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::DiagnosticsRecord { weights, threat, elapsed_us, numbers } = wire;
        let weights = reader.field("weights", weights);
        let threat = reader.required("threat", threat);
        let numbers = reader.list("numbers", numbers);
        Some(Self { weights: weights?, threat: threat?, elapsed_us, numbers: numbers? })
    }
}

impl OnWire for Diagnostic {
    type Wire = wire::Diagnostic;

    fn to_wire(self) -> Self::Wire {
        let Self { name, value, detail } = self;
        wire::Diagnostic { name, value, detail }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Diagnostic { name, value, detail } = wire;
        let number = Self { name, value, detail };
        let allowed = "must be a finite number under a name of 1 to 100 lower-case letters, digits, dots and hyphens";
        match number.is_sound() {
            true => Some(number),
            false => reader.refuse(format!("{} {}", number.name, number.value), allowed),
        }
    }
}
