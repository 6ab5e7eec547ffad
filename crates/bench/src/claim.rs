//! What the project says of its own steps, beside being faster than another library's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{MODELS, Mode, Rival};

/// A statement about a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// RRM costs a training step and a teacher's forward pass, and nothing else.
    RrmStep,
    /// A training step holds no more memory than PyTorch's.
    Memory,
    /// The time per image does not depend on the batch.
    BatchSizes,
    /// A second thread pays.
    Threads,
    /// The benchmark is fair: ours is as fast after PyTorch's turn as after its own.
    Undisturbed,
}

/// On which side of a bound the number has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Goal {
    /// Whether `value` is on the right side.
    pub fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

impl Claim {
    /// Every claim, in the order of the page.
    pub const ALL: [Self; 5] = [Self::RrmStep, Self::Memory, Self::BatchSizes, Self::Threads, Self::Undisturbed];

    /// When it holds.
    pub fn goal(self) -> Goal {
        match self {
            Self::RrmStep | Self::Undisturbed => Goal::AtMost(1.03),
            Self::Memory => Goal::AtMost(1.0),
            Self::BatchSizes => Goal::AtMost(1.05),
            Self::Threads => Goal::AtLeast(1.8),
        }
    }

    /// Who has to be there to check it.
    pub fn rival(self) -> Option<Rival> {
        match self {
            Self::Memory | Self::Undisturbed => Some(Rival::PyTorch),
            Self::RrmStep | Self::BatchSizes | Self::Threads => None,
        }
    }

    /// What the number is.
    pub fn number(self) -> &'static str {
        match self {
            Self::RrmStep => "an RRM step over the sum of the student's training step and the teacher's forward pass",
            Self::Memory => {
                "peak resident memory of a training step over PyTorch's, each without what its process held before"
            }
            Self::BatchSizes => "time per image at the slowest batch size over that at the fastest",
            Self::Threads => "time on one thread over time on all",
            Self::Undisturbed => "our step after PyTorch's turn over our step after our own turn",
        }
    }
}

/// A claim about one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is claimed.
    pub claim: Claim,
    /// Of which network; of which student under [`Claim::RrmStep`].
    pub arch: String,
    /// The teacher under [`Claim::RrmStep`].
    pub teacher: Option<String>,
    /// What a step does.
    pub mode: Mode,
    /// Images per step, but for [`Claim::BatchSizes`].
    pub batch: u32,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, arch, teacher, mode, batch } = self;
        match (claim, teacher) {
            (Claim::BatchSizes, _) => write!(f, "{arch} {mode}"),
            (_, Some(teacher)) => write!(f, "{arch} taught by {teacher} at batch {batch}"),
            (_, None) => write!(f, "{arch} {mode} at batch {batch}"),
        }
    }
}

/// The networks whose batches and threads are varied: one of each kind that trains within seconds.
const VARIED: [(&str, u32); 4] = [("resnet18", 128), ("vgg11", 128), ("dnn", 128), ("resnet18/4", 128)];

/// Student, teacher, batch: the paper's teacher for both.
const TAUGHT: [(&str, &str, u32); 2] = [("resnet18", "vgg11", 128), ("resnet50", "vgg11", 64)];

/// Every check of `claim`.
pub fn checks(claim: Claim) -> Vec<Check> {
    let check = |arch: &str, mode, batch| Check { claim, arch: arch.to_owned(), teacher: None, mode, batch };
    match claim {
        Claim::RrmStep => {
            let taught = |(student, teacher, batch): (_, &str, _)| Check {
                teacher: Some(teacher.to_owned()),
                ..check(student, Mode::Train, batch)
            };
            TAUGHT.map(taught).to_vec()
        }
        Claim::Memory => MODELS.map(|model| check(model.arch, Mode::Train, model.batch)).to_vec(),
        Claim::BatchSizes | Claim::Threads => {
            VARIED.iter().flat_map(|(arch, batch)| Mode::ALL.map(|mode| check(arch, mode, *batch))).collect()
        }
        Claim::Undisturbed => vec![check("resnet18", Mode::Train, 128), check("dnn", Mode::Eval, 128)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_holds_on_its_side_and_at_its_bound() {
        assert!(Goal::AtLeast(1.8).met(1.8) && !Goal::AtLeast(1.8).met(1.79));
        assert!(Goal::AtMost(1.03).met(1.03) && !Goal::AtMost(1.03).met(1.04));
        assert!(!Goal::AtMost(1.0).met(f64::NAN) && !Goal::AtLeast(1.0).met(f64::NAN));
    }

    #[test]
    fn every_claim_is_checked_on_some_network_and_no_check_twice() {
        for claim in Claim::ALL {
            let checks = checks(claim);
            assert!(!checks.is_empty());
            for (index, check) in checks.iter().enumerate() {
                assert!(check.claim == claim && !checks[..index].contains(check), "{check}");
            }
        }
    }
}
