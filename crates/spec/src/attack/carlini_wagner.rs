//! Carlini & Wagner's l2 attack.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::ThreatModel;

/// Parameters of Carlini & Wagner's l2 attack. It looks for the nearest misclassified image, and counts it where that lies in the
/// ball. Defaults are those of foolbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarliniWagnerSpec {
    /// The ball, of l2.
    pub threat: ThreatModel,
    /// Optimiser steps for each constant that is tried.
    pub iterations: NonZeroU32,
    /// Constants that are tried: each ten times the one before until one succeeds, then by bisection.
    #[serde(default = "CarliniWagnerSpec::default_search_steps")]
    pub search_steps: NonZeroU32,
    /// Adam's step size, in the space of the inverse hyperbolic tangent.
    #[serde(default = "CarliniWagnerSpec::default_learning_rate")]
    pub learning_rate: f64,
    /// The first constant: the weight of misclassification against distance.
    #[serde(default = "CarliniWagnerSpec::default_initial_constant")]
    pub initial_constant: f64,
    /// By how much another logit must exceed the label's.
    #[serde(default)]
    pub confidence: f64,
}

impl CarliniWagnerSpec {
    /// Nine constants.
    pub fn default_search_steps() -> NonZeroU32 {
        const { NonZeroU32::new(9).expect("not zero") }
    }

    /// One hundredth.
    pub fn default_learning_rate() -> f64 {
        0.01
    }

    /// One thousandth.
    pub fn default_initial_constant() -> f64 {
        0.001
    }

    pub(super) fn label(&self) -> String {
        format!("CW {}x{}", self.search_steps, self.iterations)
    }
}
