//! Square Attack.

use rrm_spec::SquareSpec;

use crate::{
    convert::{OnWire, Reader, wire_enum},
    wire,
};

wire_enum!(SquareLoss { Margin => Margin, Ce => Ce });
wire_enum!(SquareSchedule { Fixed => Fixed, Rescaled => Rescaled });

impl OnWire for SquareSpec {
    type Wire = wire::Square;

    fn to_wire(self) -> Self::Wire {
        let Self { threat, queries, restarts, loss, initial_share, schedule } = self;
        wire::Square {
            threat: Some(threat.to_wire()),
            queries: queries.to_wire(),
            restarts: restarts.to_wire(),
            loss: loss.to_wire(),
            initial_share,
            schedule: schedule.to_wire(),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Square { threat, queries, restarts, loss, initial_share, schedule } = wire;
        let threat = reader.required("threat", threat);
        let queries = reader.field("queries", queries);
        let restarts = reader.field("restarts", restarts);
        let loss = reader.field("loss", loss);
        let schedule = reader.field("schedule", schedule);
        Some(Self {
            threat: threat?,
            queries: queries?,
            restarts: restarts?,
            loss: loss?,
            initial_share,
            schedule: schedule?,
        })
    }
}
