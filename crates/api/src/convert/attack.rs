//! Attacks.

mod adaptive;
mod autoattack;
mod carlini_wagner;
mod fab;
mod fgsm;
mod square;

use std::num::NonZeroU32;

use rrm_spec::{
    AdaptiveSpec, ApgdDialect, ApgdSpec, AttackSpec, AutoAttackSpec, CarliniWagnerSpec, FabSpec, FgsmSpec, PgdSpec,
    SquareSpec, ThreatModel,
};

use super::{OnWire, Reader, wire_enum};
use crate::wire;

wire_enum!(Norm { Linf => Linf, L2 => L2, L1 => L1 });
wire_enum!(PgdStart { Natural => Natural, Uniform => Uniform, Sphere => Sphere });
wire_enum!(PgdSelection { Last => Last, BestLoss => BestLoss, StopWhenBroken => StopWhenBroken });
wire_enum!(PgdDialect { Madry => Madry, Art => Art });
wire_enum!(PgdTarget {
    Untargeted => Untargeted,
    Random => Random,
    LeastLikely => LeastLikely,
    SecondBest => SecondBest,
    Each => Each,
});
wire_enum!(ApgdLoss { Ce => Ce, Dlr => Dlr, TargetedDlr => TargetedDlr });

impl OnWire for AttackSpec {
    type Wire = wire::AttackSpec;

    fn to_wire(self) -> Self::Wire {
        let kind = match self {
            Self::Pgd(spec) => wire::attack_spec::Kind::Pgd(spec.to_wire()),
            Self::Apgd(spec) => wire::attack_spec::Kind::Apgd(spec.to_wire()),
            Self::Square(spec) => wire::attack_spec::Kind::Square(spec.to_wire()),
            Self::Fab(spec) => wire::attack_spec::Kind::Fab(spec.to_wire()),
            Self::CarliniWagner(spec) => wire::attack_spec::Kind::CarliniWagner(spec.to_wire()),
            Self::Fgsm(spec) => wire::attack_spec::Kind::Fgsm(spec.to_wire()),
            Self::AutoAttack(spec) => wire::attack_spec::Kind::Autoattack(spec.to_wire()),
            Self::Adaptive(spec) => wire::attack_spec::Kind::Adaptive(spec.to_wire()),
        };
        wire::AttackSpec { kind: Some(kind) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AttackSpec { kind } = wire;
        match kind {
            Some(wire::attack_spec::Kind::Pgd(spec)) => PgdSpec::from_wire(spec, reader).map(Self::Pgd),
            Some(wire::attack_spec::Kind::Apgd(spec)) => ApgdSpec::from_wire(spec, reader).map(Self::Apgd),
            Some(wire::attack_spec::Kind::Fgsm(spec)) => FgsmSpec::from_wire(spec, reader).map(Self::Fgsm),
            Some(wire::attack_spec::Kind::Square(spec)) => SquareSpec::from_wire(spec, reader).map(Self::Square),
            Some(wire::attack_spec::Kind::Fab(spec)) => FabSpec::from_wire(spec, reader).map(Self::Fab),
            Some(wire::attack_spec::Kind::CarliniWagner(spec)) => {
                CarliniWagnerSpec::from_wire(spec, reader).map(Self::CarliniWagner)
            }
            Some(wire::attack_spec::Kind::Autoattack(spec)) => {
                AutoAttackSpec::from_wire(spec, reader).map(Self::AutoAttack)
            }
            Some(wire::attack_spec::Kind::Adaptive(spec)) => AdaptiveSpec::from_wire(spec, reader).map(Self::Adaptive),
            None => reader.at("kind").missing(),
        }
    }
}

impl OnWire for PgdSpec {
    type Wire = wire::Pgd;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, steps, step_size, start, selection, restarts, target, eot, dialect } = self;
        wire::Pgd {
            threat: Some(threat.to_wire()),
            steps: steps.to_wire(),
            step_size: step_size.to_wire(),
            start: start.to_wire(),
            selection: selection.to_wire(),
            restarts: restarts.to_wire(),
            target: Some(target.to_wire()),
            eot: Some(eot.to_wire()),
            dialect: Some(dialect.to_wire()),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Pgd { threat, steps, step_size, start, selection, restarts, target, eot, dialect } = wire;
        let threat = reader.required("threat", threat);
        let steps = reader.field("steps", steps);
        let step_size = reader.field("step_size", step_size);
        let start = reader.field("start", start);
        let selection = reader.field("selection", selection);
        let restarts = reader.field("restarts", restarts);
        let target = reader.optional("target", target);
        let eot = reader.optional("eot", eot);
        let dialect = reader.optional("dialect", dialect);
        Some(Self {
            threat: threat?,
            steps: steps?,
            step_size: step_size?,
            start: start?,
            selection: selection?,
            restarts: restarts?,
            target: target?.unwrap_or_default(),
            eot: eot?.unwrap_or(NonZeroU32::MIN),
            dialect: dialect?.unwrap_or_default(),
        })
    }
}

impl OnWire for ApgdSpec {
    type Wire = wire::Apgd;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, iterations, restarts, loss, targets, eot, dialect } = self;
        wire::Apgd {
            threat: Some(threat.to_wire()),
            iterations: iterations.to_wire(),
            restarts: restarts.to_wire(),
            loss: loss.to_wire(),
            targets: targets.map(OnWire::to_wire),
            eot: Some(eot.to_wire()),
            art: art(dialect),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Apgd { threat, iterations, restarts, loss, targets, eot, art } = wire;
        let threat = reader.required("threat", threat);
        let iterations = reader.field("iterations", iterations);
        let restarts = reader.field("restarts", restarts);
        let loss = reader.field("loss", loss);
        let targets = reader.optional("targets", targets);
        let eot = reader.optional("eot", eot);
        let dialect = dialect(art, reader);
        Some(Self {
            threat: threat?,
            iterations: iterations?,
            restarts: restarts?,
            loss: loss?,
            targets: targets?,
            eot: eot?.unwrap_or(NonZeroU32::MIN),
            dialect: dialect?,
        })
    }
}

fn art(dialect: ApgdDialect) -> Option<wire::ApgdArt> {
    match dialect {
        ApgdDialect::Reference => None,
        ApgdDialect::Art { batch } => Some(wire::ApgdArt { batch: batch.to_wire() }),
    }
}

fn dialect(art: Option<wire::ApgdArt>, reader: &mut Reader<'_>) -> Option<ApgdDialect> {
    match art {
        None => Some(ApgdDialect::Reference),
        Some(wire::ApgdArt { batch }) => reader.at("art").field("batch", batch).map(|batch| ApgdDialect::Art { batch }),
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
