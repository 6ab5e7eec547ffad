//! Attacks.

mod carlini_wagner;
mod fab;
mod square;

use rrm_spec::{ApgdSpec, AttackSpec, CarliniWagnerSpec, FabSpec, PgdSpec, SquareSpec, ThreatModel};

use super::{OnWire, Reader, wire_enum};
use crate::wire;

wire_enum!(Norm { Linf => Linf, L2 => L2, L1 => L1 });
wire_enum!(PgdStart { Natural => Natural, Uniform => Uniform, Sphere => Sphere });
wire_enum!(PgdSelection { Last => Last, BestLoss => BestLoss, StopWhenBroken => StopWhenBroken });
wire_enum!(ApgdLoss { Ce => Ce });

impl OnWire for AttackSpec {
    type Wire = wire::AttackSpec;

    fn to_wire(self) -> Self::Wire {
        let kind = match self {
            Self::Pgd(spec) => wire::attack_spec::Kind::Pgd(spec.to_wire()),
            Self::Apgd(spec) => wire::attack_spec::Kind::Apgd(spec.to_wire()),
            Self::Square(spec) => wire::attack_spec::Kind::Square(spec.to_wire()),
            Self::Fab(spec) => wire::attack_spec::Kind::Fab(spec.to_wire()),
            Self::CarliniWagner(spec) => wire::attack_spec::Kind::CarliniWagner(spec.to_wire()),
        };
        wire::AttackSpec { kind: Some(kind) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AttackSpec { kind } = wire;
        match kind {
            Some(wire::attack_spec::Kind::Pgd(spec)) => PgdSpec::from_wire(spec, reader).map(Self::Pgd),
            Some(wire::attack_spec::Kind::Apgd(spec)) => ApgdSpec::from_wire(spec, reader).map(Self::Apgd),
            Some(wire::attack_spec::Kind::Square(spec)) => SquareSpec::from_wire(spec, reader).map(Self::Square),
            Some(wire::attack_spec::Kind::Fab(spec)) => FabSpec::from_wire(spec, reader).map(Self::Fab),
            Some(wire::attack_spec::Kind::CarliniWagner(spec)) => {
                CarliniWagnerSpec::from_wire(spec, reader).map(Self::CarliniWagner)
            }
            None => reader.at("kind").missing(),
        }
    }
}

impl OnWire for PgdSpec {
    type Wire = wire::Pgd;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, steps, step_size, start, selection, restarts } = self;
        wire::Pgd {
            threat: Some(threat.to_wire()),
            steps: steps.to_wire(),
            step_size: step_size.to_wire(),
            start: start.to_wire(),
            selection: selection.to_wire(),
            restarts: restarts.to_wire(),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Pgd { threat, steps, step_size, start, selection, restarts } = wire;
        let threat = reader.required("threat", threat);
        let steps = reader.field("steps", steps);
        let step_size = reader.field("step_size", step_size);
        let start = reader.field("start", start);
        let selection = reader.field("selection", selection);
        let restarts = reader.field("restarts", restarts);
        Some(Self {
            threat: threat?,
            steps: steps?,
            step_size: step_size?,
            start: start?,
            selection: selection?,
            restarts: restarts?,
        })
    }
}

impl OnWire for ApgdSpec {
    type Wire = wire::Apgd;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, iterations, restarts, loss } = self;
        wire::Apgd {
            threat: Some(threat.to_wire()),
            iterations: iterations.to_wire(),
            restarts: restarts.to_wire(),
            loss: loss.to_wire(),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Apgd { threat, iterations, restarts, loss } = wire;
        let threat = reader.required("threat", threat);
        let iterations = reader.field("iterations", iterations);
        let restarts = reader.field("restarts", restarts);
        let loss = reader.field("loss", loss);
        Some(Self { threat: threat?, iterations: iterations?, restarts: restarts?, loss: loss? })
    }
}

impl OnWire for ThreatModel {
    type Wire = wire::ThreatModel;

    fn to_wire(self) -> Self::Wire {
        let Self { norm, epsilon } = self;
        wire::ThreatModel { norm: norm.to_wire(), epsilon: epsilon.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ThreatModel { norm, epsilon } = wire;
        let norm = reader.field("norm", norm);
        let epsilon = reader.field("epsilon", epsilon);
        Some(Self { norm: norm?, epsilon: epsilon? })
    }
}
