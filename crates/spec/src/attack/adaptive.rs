//! Attacks that know the teacher of the network under attack.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::one;
use crate::{Norm, RepresentationLoss, ThreatModel};

/// Parameters of the adaptive attack on a network that a teacher's representations have made robust: AutoPGD, with what is known of
/// the teacher in what it climbs (Tramèr et al. 2020: attacks must aim at what a defence relies on). Which network the teacher is,
/// the evaluation says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveSpec {
    /// The ball, of l∞ or l2.
    pub threat: ThreatModel,
    /// Which way the teacher is made use of.
    #[serde(default)]
    pub through: Through,
    /// Iterations of AutoPGD per restart.
    pub iterations: NonZeroU32,
    /// Restarts, each on the images that no earlier one broke.
    #[serde(default = "one")]
    pub restarts: NonZeroU32,
    /// How far a representation is from the teacher's.
    #[serde(default = "AdaptiveSpec::default_distance")]
    pub distance: RepresentationLoss,
    /// Weight of the distance beside the cross-entropy; 1 where it stands alone.
    #[serde(default = "AdaptiveSpec::default_weight")]
    pub weight: f64,
}

/// Which way an adaptive attack makes use of the teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// All of the following in turn, each on the images that the ones before left.
    #[default]
    All,
    /// Images are made by climbing the teacher's cross-entropy; the network under attack judges every iterate.
    Transfer,
    /// The network's representation is led away from the one that the teacher has of the natural image.
    Representation,
    /// The same while its own cross-entropy is raised.
    Joint,
}

impl Through {
    /// The single ways that it is made of, in their order.
    pub fn ways(self) -> Vec<Self> {
        match self {
            Self::All => vec![Self::Transfer, Self::Representation, Self::Joint],
            Self::Transfer | Self::Representation | Self::Joint => vec![self],
        }
    }

    /// Whether representations of both networks are compared, which must be of one width then.
    pub fn compares_representations(self) -> bool {
        match self {
            Self::All | Self::Representation | Self::Joint => true,
            Self::Transfer => false,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Transfer => "-transfer",
            Self::Representation => "-representation",
            Self::Joint => "-joint",
        }
    }
}

impl AdaptiveSpec {
    /// Norms that it has a form for: in l1 a run of AutoPGD is a sequence of balls, which nobody has tried it with.
    pub(crate) const NORMS: &[Norm] = &[Norm::Linf, Norm::L2];

    /// That of RRM on CIFAR-10.
    pub fn default_distance() -> RepresentationLoss {
        RepresentationLoss::Cosine
    }

    /// As much as the cross-entropy.
    pub fn default_weight() -> f64 {
        1.0
    }

    /// The attacks that it is made of, in their order.
    pub fn parts(&self) -> Vec<Self> {
        self.through.ways().into_iter().map(|through| Self { through, ..self.clone() }).collect()
    }

    pub(super) fn label(&self) -> String {
        format!("Adaptive{} {}x{}", self.through.suffix(), self.iterations, self.restarts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_are_taken_in_turn_and_one_alone() {
        let spec = AdaptiveSpec {
            threat: ThreatModel { norm: Norm::Linf, epsilon: 0.1.into() },
            through: Through::All,
            iterations: one(),
            restarts: one(),
            distance: RepresentationLoss::Cosine,
            weight: 1.0,
        };
        let labels = |spec: &AdaptiveSpec| spec.parts().iter().map(AdaptiveSpec::label).collect::<Vec<_>>();
        assert_eq!(labels(&spec), ["Adaptive-transfer 1x1", "Adaptive-representation 1x1", "Adaptive-joint 1x1"]);
        let joint = AdaptiveSpec { through: Through::Joint, ..spec };
        assert_eq!(labels(&joint), ["Adaptive-joint 1x1"]);
    }
}
