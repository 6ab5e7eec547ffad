//! The fast gradient sign method.

use serde::{Deserialize, Serialize};

use crate::{Epsilon, ThreatModel};

/// Parameters of the fast gradient sign method: one step up the cross-entropy, along the gradient's sign for l∞ and along its
/// direction for l2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FgsmSpec {
    /// The ball.
    pub threat: ThreatModel,
    /// Where the step begins and how long it is.
    #[serde(default)]
    pub dialect: FgsmDialect,
    /// Length of the step, in pixel units; absent = the dialect's share of epsilon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_size: Option<Epsilon>,
}

/// Whose fast gradient sign method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FgsmDialect {
    /// From the natural image, by epsilon (Goodfellow et al. 2015).
    #[default]
    Goodfellow,
    /// From a point uniform in the ball, by 1.25 epsilon and back into the ball (Wong et al. 2020: FGSM with random start).
    Wong,
    /// From a random corner of the ball of half of epsilon, by the other half (Tramèr et al. 2018: R+FGSM); for l2 from a random
    /// direction's end. Of another step size, the random one takes what it leaves of epsilon.
    Tramer,
}

impl FgsmDialect {
    /// Length of a step, as a share of epsilon, where none is given.
    pub fn step_share(self) -> f64 {
        match self {
            Self::Goodfellow => 1.0,
            Self::Wong => 1.25,
            Self::Tramer => 0.5,
        }
    }
}

impl FgsmSpec {
    /// Length of the step, in pixel units.
    pub fn step_length(&self) -> f64 {
        let share = || self.dialect.step_share() * self.threat.epsilon.value();
        self.step_size.as_ref().map_or_else(share, Epsilon::value)
    }

    pub(super) fn label(&self) -> String {
        match self.dialect {
            FgsmDialect::Goodfellow => "FGSM",
            FgsmDialect::Wong => "FGSM-RS",
            FgsmDialect::Tramer => "R+FGSM",
        }
        .to_owned()
    }
}
