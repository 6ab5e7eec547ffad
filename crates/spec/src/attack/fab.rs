//! Fast adaptive boundary attack.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::one;
use crate::ThreatModel;

/// Parameters of the fast adaptive boundary attack. It looks for the nearest misclassified image, and counts it where that lies in
/// the ball.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FabSpec {
    /// The ball.
    pub threat: ThreatModel,
    /// Iterations per restart.
    pub iterations: NonZeroU32,
    /// Restarts, each on the images that no earlier one broke: the first from the natural image, the others from random points.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// FAB-T: each restart goes towards the so many likeliest other classes, one after another; towards all of them where there are
    /// fewer. Absent: FAB, which goes to the nearest linearised boundary of any class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<NonZeroU32>,
}

impl FabSpec {
    pub(super) fn label(&self) -> String {
        let Self { iterations, restarts, targets, .. } = self;
        match targets {
            None => format!("FAB {iterations}x{restarts}"),
            Some(targets) => format!("FAB-T {iterations}x{restarts} ({targets} targets)"),
        }
    }
}
