//! Image collections that users name, and how their pixels reach the network.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which collection of labelled images.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatasetName {
    /// CIFAR-10: 50 000 + 10 000 colour images of 10 classes, 32×32. Written `cifar10`.
    Cifar10,
    /// Fashion-MNIST: 60 000 + 10 000 grey images of clothes in 10 classes, padded to 32×32. Written `fashion-mnist`.
    FashionMnist,
    /// A folder in the data directory with `train/CLASS/*` and `test/CLASS/*`, read as 32×32 colour images. Written
    /// `folder:NAME`.
    Folder(String),
}

impl DatasetName {
    /// Colour channels of an image.
    pub fn channels(&self) -> usize {
        match self {
            Self::Cifar10 | Self::Folder(_) => 3,
            Self::FashionMnist => 1,
        }
    }

    /// Height and width of an image as networks see it, in pixels.
    pub fn image_side(&self) -> usize {
        match self {
            Self::Cifar10 | Self::FashionMnist | Self::Folder(_) => 32,
        }
    }

    /// Classes, where the name alone tells.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Cifar10 | Self::FashionMnist => Some(10),
            Self::Folder(_) => None,
        }
    }

    /// The normalisation that is used where a spec names none.
    pub fn normalization(&self) -> Normalization {
        match self {
            Self::Cifar10 => Normalization::Cifar10Fast,
            Self::FashionMnist => Normalization::FashionMnist,
            Self::Folder(_) => Normalization::Identity,
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cifar10 => f.write_str("cifar10"),
            Self::FashionMnist => f.write_str("fashion-mnist"),
            Self::Folder(name) => write!(f, "folder:{name}"),
        }
    }
}

impl FromStr for DatasetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cifar10" => Ok(Self::Cifar10),
            "fashion-mnist" => Ok(Self::FashionMnist),
            other => match other.strip_prefix("folder:") {
                // A name, not a path: a job must not reach outside of the data directory.
                Some(name) if !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) => {
                    Ok(Self::Folder(name.to_owned()))
                }
                _ => Err(format!(
                    "unknown dataset `{other}`: use cifar10, fashion-mnist or folder:NAME (a folder in the data directory)"
                )),
            },
        }
    }
}

impl TryFrom<String> for DatasetName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.to_string()
    }
}

/// The images that a job works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The collection.
    pub name: DatasetName,
    /// Only the first so many training images; absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<NonZeroU32>,
}

/// Random changes to training images (digest §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augmentation {
    /// None.
    None,
    /// Zero-pad by 4, crop at random, flip with probability one half.
    #[default]
    Light,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Normalization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|normalization| normalization.name() == text);
        found.ok_or_else(|| format!("unknown normalisation `{text}`: use one of {names}"))
    }
}

/// Mean and standard deviation by which the network's first layer normalises pixels (digest §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// MadryLab's CIFAR-10 constants, with the historical standard deviation.
    Cifar10Madry,
    /// The CIFAR-10 constants of fast_adversarial.
    Cifar10Fast,
    /// Mean and deviation of Fashion-MNIST's unpadded training pixels.
    FashionMnist,
    /// Pixels as they are.
    Identity,
    /// The constants of Restricted-ImageNet.
    #[serde(rename = "restricted-imagenet")]
    RestrictedImageNet,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Cifar10Madry, Self::Cifar10Fast, Self::FashionMnist, Self::Identity, Self::RestrictedImageNet];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cifar10Madry => "cifar10-madry",
            Self::Cifar10Fast => "cifar10-fast",
            Self::FashionMnist => "fashion-mnist",
            Self::Identity => "identity",
            Self::RestrictedImageNet => "restricted-imagenet",
        }
    }

    /// (mean, standard deviation) per channel, in pixel units; a single entry holds for every channel.
    pub fn constants(self) -> (&'static [f64], &'static [f64]) {
        match self {
            Self::Cifar10Madry => (&[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010]),
            Self::Cifar10Fast => (&[0.4914, 0.4822, 0.4465], &[0.2471, 0.2435, 0.2616]),
            Self::FashionMnist => (&[0.2860], &[0.3530]),
            Self::Identity => (&[0.0], &[1.0]),
            Self::RestrictedImageNet => (&[0.4717, 0.4499, 0.3837], &[0.2600, 0.2516, 0.2575]),
        }
    }

    /// Whether the constants suit images of so many channels.
    pub fn suits(self, channels: usize) -> bool {
        let entries = self.constants().0.len();
        entries == 1 || entries == channels
    }
}
