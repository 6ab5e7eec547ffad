//! Square Attack.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::one;
use crate::ThreatModel;

/// Parameters of Square Attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquareSpec {
    /// The ball.
    pub threat: ThreatModel,
    /// Altered images that are tried per restart, beside the start.
    pub queries: NonZeroU32,
    /// Restarts, each on the images that no earlier one broke.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// What is lowered.
    #[serde(default)]
    pub loss: SquareLoss,
    /// The square's share of the image at the beginning, above 0 and at most 1.
    #[serde(default = "SquareSpec::default_initial_share")]
    pub initial_share: f64,
    /// When squares shrink.
    #[serde(default)]
    pub schedule: SquareSchedule,
}

impl SquareSpec {
    /// That of AutoAttack.
    pub fn default_initial_share() -> f64 {
        0.8
    }

    pub(super) fn label(&self) -> String {
        let loss = match self.loss {
            SquareLoss::Margin => "",
            SquareLoss::Ce => "-CE",
        };
        format!("Square{loss} {}x{}", self.queries, self.restarts)
    }
}

/// What Square Attack lowers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquareLoss {
    /// The label's logit minus the highest other one.
    #[default]
    Margin,
    /// The cross-entropy, negated.
    Ce,
}

/// When Square Attack's squares shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquareSchedule {
    /// After 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 queries, however many there are (AutoAttack).
    #[default]
    Fixed,
    /// After the same shares of the queries that there are, 10 000 being the whole.
    Rescaled,
}
