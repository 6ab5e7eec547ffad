//! Network architectures that users name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The paper's network families for 32×32 images (digest §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Six convolutions and two linear layers, no batch-norm; 1 341 226 parameters for CIFAR-10.
    Dnn,
    /// VGG11 with batch-norm; 9 231 114 parameters.
    Vgg11,
    /// ResNet18 with a 3×3 stem; 11 173 962 parameters.
    ResNet18,
}

impl Family {
    /// Every family, in the order of cost.
    pub const ALL: [Self; 3] = [Self::Dnn, Self::Vgg11, Self::ResNet18];

    fn name(self) -> &'static str {
        match self {
            Self::Dnn => "dnn",
            Self::Vgg11 => "vgg11",
            Self::ResNet18 => "resnet18",
        }
    }
}

/// A network: its family, and by how much every channel count is divided.
///
/// Written `resnet18`, or `resnet18/4` for a network of a quarter of the width that small machines can train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arch {
    family: Family,
    width_divisor: u32,
}

impl Arch {
    /// Divisors that leave every layer with at least two channels and a whole number of them.
    pub const DIVISORS: [u32; 5] = [1, 2, 4, 8, 16];

    /// A network of `family` with its widths divided by `width_divisor`; `None` where that is not one of
    /// [`Self::DIVISORS`].
    pub fn new(family: Family, width_divisor: u32) -> Option<Self> {
        Self::DIVISORS.contains(&width_divisor).then_some(Self { family, width_divisor })
    }

    /// The family.
    pub fn family(self) -> Family {
        self.family
    }

    /// By how much every hidden width of the family is divided.
    pub fn width_divisor(self) -> usize {
        self.width_divisor as usize
    }

    /// The width of the penultimate representation, before any adapter.
    pub fn representation_width(self) -> usize {
        512 / self.width_divisor()
    }
}

/// What is wrong with a network's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`: use dnn, vgg11 or resnet18, with /2, /4, /8 or /16 for a narrower one")]
pub struct ParseArchError(String);

impl FromStr for Arch {
    type Err = ParseArchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseArchError(text.to_owned());
        let (name, divisor) = match text.split_once('/') {
            Some((name, divisor)) => (name, divisor.parse().map_err(|_| unknown())?),
            None => (text, 1),
        };
        let family = Family::ALL.into_iter().find(|family| family.name() == name).ok_or_else(unknown)?;
        Self::new(family, divisor).ok_or_else(unknown)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width_divisor {
            1 => f.write_str(self.family.name()),
            divisor => write!(f, "{}/{divisor}", self.family.name()),
        }
    }
}

impl TryFrom<String> for Arch {
    type Error = ParseArchError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> Self {
        arch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arch_reads_what_it_writes() {
        for family in Family::ALL {
            for divisor in Arch::DIVISORS {
                let arch = Arch::new(family, divisor).unwrap();
                assert_eq!(arch.to_string().parse(), Ok(arch));
            }
        }
    }

    #[test]
    fn a_divisor_that_does_not_divide_is_refused() {
        for text in ["resnet18/3", "resnet18/0", "dnn/32", "vgg11/", "resnet", "vgg11/2/2"] {
            assert!(text.parse::<Arch>().is_err(), "{text}");
        }
    }
}
