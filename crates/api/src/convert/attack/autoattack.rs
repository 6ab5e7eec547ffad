//! AutoAttack.

use rrm_spec::{AutoAttackSpec, AutoAttackVersion, CustomAutoAttack};

use crate::{
    convert::{OnWire, Reader, list, wire_enum},
    wire::{self, auto_attack::Version},
};

wire_enum!(AutoAttackPart {
    ApgdCe => ApgdCe,
    ApgdDlr => ApgdDlr,
    ApgdT => ApgdT,
    Fab => Fab,
    FabT => FabT,
    Square => Square,
});

impl OnWire for AutoAttackSpec {
    type Wire = wire::AutoAttack;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, version } = self;
        let version = match version {
            AutoAttackVersion::Standard => Version::Standard(wire::AutoAttackStandard {}),
            AutoAttackVersion::Plus => Version::Plus(wire::AutoAttackPlus {}),
            AutoAttackVersion::Rand => Version::Rand(wire::AutoAttackRand {}),
            AutoAttackVersion::Custom(custom) => Version::Custom(custom.to_wire()),
        };
        wire::AutoAttack { threat: Some(threat.to_wire()), version: Some(version) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AutoAttack { threat, version } = wire;
        let threat = reader.required("threat", threat);
        let version = match version {
            Some(Version::Standard(wire::AutoAttackStandard {})) => Some(AutoAttackVersion::Standard),
            Some(Version::Plus(wire::AutoAttackPlus {})) => Some(AutoAttackVersion::Plus),
            Some(Version::Rand(wire::AutoAttackRand {})) => Some(AutoAttackVersion::Rand),
            Some(Version::Custom(custom)) => reader.field("version", custom).map(AutoAttackVersion::Custom),
            None => reader.at("version").missing(),
        };
        Some(Self { threat: threat?, version: version? })
    }
}

impl OnWire for CustomAutoAttack {
    type Wire = wire::AutoAttackCustom;

    fn to_wire(self) -> Self::Wire {
        let Self { attacks, iterations, restarts, targets, eot, queries } = self;
        wire::AutoAttackCustom {
            attacks: list(attacks),
            iterations: iterations.to_wire(),
            restarts: restarts.to_wire(),
            targets: targets.map(OnWire::to_wire),
            eot: eot.to_wire(),
            queries: queries.to_wire(),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AutoAttackCustom { attacks, iterations, restarts, targets, eot, queries } = wire;
        let attacks = reader.list("attacks", attacks);
        let iterations = reader.field("iterations", iterations);
        let restarts = reader.field("restarts", restarts);
        let targets = reader.optional("targets", targets);
        let eot = reader.field("eot", eot);
        let queries = reader.field("queries", queries);
        Some(Self {
            attacks: attacks?,
            iterations: iterations?,
            restarts: restarts?,
            targets: targets?,
            eot: eot?,
            queries: queries?,
        })
    }
}
