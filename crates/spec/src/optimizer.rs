//! Stochastic gradient descent and its schedules.

use serde::{Deserialize, Serialize};

/// SGD with classical momentum; weight decay is added to the gradient of every parameter (digest §2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSpec {
    /// The schedule's highest learning rate.
    pub learning_rate: f64,
    /// Momentum; 0 = none.
    #[serde(default = "OptimizerSpec::default_momentum")]
    pub momentum: f64,
    /// L2 weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// How the rate changes.
    pub schedule: Schedule,
}

impl OptimizerSpec {
    pub(crate) fn default_momentum() -> f64 {
        0.9
    }
}

/// The learning rate as a function of the step (digest §2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// Multiplied by `factor` when an epoch of `milestones` (counted from 0) begins.
    Step {
        /// Epochs at which the rate falls, strictly increasing.
        milestones: Vec<u32>,
        /// By what it is multiplied each time.
        factor: f64,
    },
    /// Per step: from the full rate to 1e-6 along half a cosine.
    Cosine,
    /// Per step: linear from 0 to the full rate at half of all steps, and back.
    Triangular {
        /// Momentum at the peak, cycled in antiphase as PyTorch's `CyclicLR` does; absent = momentum is constant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peak_momentum: Option<f64>,
    },
}
