//! Network architectures that users name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The network families: the paper's (digest §1.2 and §1.3) and fast_adversarial's (§1.4), with their parameters for CIFAR-10 or Restricted-ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Six convolutions and two linear layers, no batch-norm; 1 341 226 parameters.
    Dnn,
    /// VGG11 with batch-norm; 9 231 114 parameters.
    Vgg11,
    /// VGG19 with batch-norm; 20 040 522 parameters.
    Vgg19,
    /// ResNet18 with a 3×3 stem; 11 173 962 parameters.
    ResNet18,
    /// ResNet18 with batch-norms before its convolutions, as fast_adversarial trains it; 11 172 170 parameters.
    PreActResNet18,
    /// ResNet50 with a 3×3 stem and the authors' linear layer to a representation of 512 numbers; 24 554 570 parameters.
    ResNet50,
    /// AlexNet with a second hidden layer of 2048 instead of 4096, for 224×224 images; 48 631 625 parameters.
    AlexNet,
    /// ResNet50 with a 7×7 stem, for 224×224 images; 23 526 473 parameters.
    ResNet50ImageNet,
    /// VGG16 without batch-norm and with a second hidden layer of 2048, for 224×224 images; 125 888 329 parameters.
    Vgg16,
}

impl Family {
    /// Every family, those for small images first, and each kind in the order of cost.
    pub const ALL: [Self; 9] = [
        Self::Dnn,
        Self::Vgg11,
        Self::Vgg19,
        Self::ResNet18,
        Self::PreActResNet18,
        Self::ResNet50,
        Self::AlexNet,
        Self::ResNet50ImageNet,
        Self::Vgg16,
    ];

    /// As users write it. A network for large images is called `-imagenet` where the name alone would be that of its sibling
    /// for small ones.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dnn => "dnn",
            Self::Vgg11 => "vgg11",
            Self::Vgg19 => "vgg19",
            Self::ResNet18 => "resnet18",
            Self::PreActResNet18 => "preactresnet18",
            Self::ResNet50 => "resnet50",
            Self::AlexNet => "alexnet",
            Self::ResNet50ImageNet => "resnet50-imagenet",
            Self::Vgg16 => "vgg16",
        }
    }

    /// Height and width, in pixels, of the images that the family is made for.
    pub fn image_side(self) -> usize {
        match self {
            Self::Dnn | Self::Vgg11 | Self::Vgg19 | Self::ResNet18 | Self::PreActResNet18 | Self::ResNet50 => 32,
            Self::AlexNet | Self::ResNet50ImageNet | Self::Vgg16 => 224,
        }
    }

    /// What comes out of the last layer before any adapter.
    fn feature_width(self) -> usize {
        match self {
            Self::Dnn | Self::Vgg11 | Self::Vgg19 | Self::ResNet18 | Self::PreActResNet18 => 512,
            Self::ResNet50 | Self::AlexNet | Self::ResNet50ImageNet | Self::Vgg16 => 2048,
        }
    }

    /// The representation that the authors' network of this family has (digest §0-3).
    fn representation_width(self) -> usize {
        match self {
            Self::ResNet50 => 512,
            other => other.feature_width(),
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

    /// What can be written for a network, in words.
    pub const FORMS: &str = "dnn, vgg11, vgg19, resnet18, preactresnet18 or resnet50 for 32×32 images, alexnet, resnet50-imagenet or \
        vgg16 for 224×224 images, with /2, /4, /8 or /16 for a narrower one";

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

    /// The width of what the layers yield before any adapter.
    pub fn feature_width(self) -> usize {
        self.family.feature_width() / self.width_divisor()
    }

    /// The width of the representation where nobody asks for another. It is the features' own, except for `resnet50`: the
    /// authors' has an adapter to 512 in every method, not under RRM alone.
    pub fn representation_width(self) -> usize {
        self.family.representation_width() / self.width_divisor()
    }
}

/// What is wrong with a network's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`: use {forms}", forms = Arch::FORMS)]
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
        for text in [
            "resnet18/3",
            "resnet18/0",
            "preactresnet18/32",
            "dnn/32",
            "vgg11/",
            "resnet",
            "vgg11/2/2",
            "alexnet-imagenet",
        ] {
            assert!(text.parse::<Arch>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_network_is_answered_with_every_known_one() {
        let told = "vgg13".parse::<Arch>().unwrap_err().to_string();
        for word in Family::ALL.map(Family::name) {
            let words = || told.split([' ', ',', '`']);
            assert!(words().any(|known| known == word), "{word} in {told}");
        }
        assert!(Arch::DIVISORS.iter().skip(1).all(|divisor| told.contains(&format!("/{divisor}"))), "{told}");
    }

    #[test]
    fn only_the_resnet50_of_cifar_has_an_adapter_of_its_own() {
        let adapted: Vec<String> = Family::ALL
            .into_iter()
            .map(|family| Arch::new(family, 4).unwrap())
            .filter(|arch| arch.feature_width() != arch.representation_width())
            .map(|arch| format!("{arch}: {} to {}", arch.feature_width(), arch.representation_width()))
            .collect();
        assert_eq!(adapted, ["resnet50/4: 512 to 128"]);
    }
}
