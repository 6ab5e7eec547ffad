//! What is compared, and what the project has promised.

use std::{fmt, str::FromStr};

use rrm_spec::Precision;
use serde::{Deserialize, Serialize};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forward, backward, update.
    Train,
    /// Forward and gradient of the image, in eval mode.
    Attack,
    /// Forward in eval mode.
    Eval,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Train, Self::Attack, Self::Eval];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Attack => "attack",
            Self::Eval => "eval",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|mode| mode.to_string() == text);
        known.ok_or_else(|| format!("unknown mode `{text}`: use train, attack or eval"))
    }
}

/// A network with the batch that it is measured at.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// As both peers parse it.
    pub arch: &'static str,
    /// Images per step.
    pub batch: u32,
    /// How many times as fast as PyTorch in f32 it has to be in each [`Mode`].
    pub goals: [f64; 3],
    /// Whether it is compared with PyTorch's bf16, too.
    pub bf16: bool,
}

/// Every network of the paper, and the small machine's.
pub const MODELS: [Model; 9] = [
    Model { arch: "resnet18", batch: 128, goals: [2.4, 2.6, 2.4], bf16: true },
    Model { arch: "vgg11", batch: 128, goals: [2.4, 2.6, 2.4], bf16: true },
    Model { arch: "vgg19", batch: 128, goals: [2.4, 2.6, 2.4], bf16: false },
    Model { arch: "dnn", batch: 128, goals: [2.2; 3], bf16: false },
    Model { arch: "resnet50", batch: 64, goals: [1.6; 3], bf16: false },
    Model { arch: "resnet18/4", batch: 128, goals: [2.4; 3], bf16: false },
    Model { arch: "alexnet", batch: 16, goals: [1.5; 3], bf16: false },
    Model { arch: "vgg16", batch: 8, goals: [1.5; 3], bf16: false },
    Model { arch: "resnet50-imagenet", batch: 16, goals: [1.5; 3], bf16: false },
];

/// The promise against PyTorch in bf16, by what ours computes in.
const BF16_GOALS: [(Precision, f64); 2] = [(Precision::F32, 1.1), (Precision::Bf16, 1.4)];

/// Whom ours is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rival {
    /// In the fastest of its variants.
    PyTorch,
    /// As it comes, which this project's kernels replace.
    Candle,
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorch => "PyTorch",
            Self::Candle => "Candle",
        })
    }
}

/// One ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// As both peers parse it.
    pub arch: String,
    /// What a step does.
    pub mode: Mode,
    /// Images per step.
    pub batch: u32,
    /// What ours computes in.
    pub ours: Precision,
    /// Whom it is compared with.
    pub rival: Rival,
    /// What the rival computes in.
    pub theirs: Precision,
    /// How many times as fast ours has to be, where that was promised.
    pub goal: Option<f64>,
}

impl Comparison {
    /// Whether the ratio answers the same question, whatever was promised when it was measured.
    pub fn same_question(&self, other: &Self) -> bool {
        Self { goal: None, ..self.clone() } == Self { goal: None, ..other.clone() }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arch, mode, batch, ours, rival, theirs, goal: _ } = self;
        write!(f, "{arch} {mode} at batch {batch}, {ours} against {rival} in {theirs}")
    }
}

impl Model {
    /// Every comparison of the network in `mode`.
    pub fn comparisons(&self, mode: Mode) -> Vec<Comparison> {
        let Self { arch, batch, goals, bf16 } = *self;
        let against =
            |rival, ours, theirs, goal| Comparison { arch: arch.to_owned(), mode, batch, ours, rival, theirs, goal };
        let mut all = vec![against(Rival::PyTorch, Precision::F32, Precision::F32, Some(goals[mode as usize]))];
        if bf16 {
            let half = |(ours, goal)| against(Rival::PyTorch, ours, Precision::Bf16, Some(goal));
            all.extend(BF16_GOALS.map(half));
        }
        if arch == CANDLES {
            all.push(against(Rival::Candle, Precision::F32, Precision::F32, None));
        }
        all
    }
}

/// The network that is written down in stock Candle, too.
const CANDLES: &str = "resnet18";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_what_they_write() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("rest".parse::<Mode>().is_err());
    }

    #[test]
    fn each_mode_has_its_goal_and_two_networks_are_held_against_bf16() {
        let all: Vec<_> =
            MODELS.iter().flat_map(|model| Mode::ALL.map(|mode| model.comparisons(mode))).flatten().collect();
        assert_eq!(all.len(), 9 * 3 + 2 * 3 * 2 + 3);
        let goal = |arch: &str, mode, theirs| {
            let found = all.iter().find(|c| c.arch == arch && c.mode == mode && c.theirs == theirs);
            found.and_then(|comparison| comparison.goal)
        };
        assert_eq!(goal("resnet18", Mode::Attack, Precision::F32), Some(2.6));
        assert_eq!(goal("resnet18", Mode::Eval, Precision::F32), Some(2.4));
        assert_eq!(goal("vgg11", Mode::Eval, Precision::Bf16), Some(1.1));
        assert_eq!(goal("dnn", Mode::Eval, Precision::Bf16), None);
    }
}
