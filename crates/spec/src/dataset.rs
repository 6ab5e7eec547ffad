//! Image collections that users name, and how their pixels reach the network.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which collection of labelled images.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatasetName {
    /// CIFAR-10: 50 000 + 10 000 colour images of 10 classes, 32×32. Written `cifar10`.
    Cifar10,
    /// CIFAR-100: 50 000 + 10 000 colour images of 100 classes, 32×32. Written `cifar100`.
    Cifar100,
    /// SVHN: 73 257 + 26 032 colour images of house numbers' digits, 32×32. Not balanced. Written `svhn`.
    Svhn,
    /// Fashion-MNIST: 60 000 + 10 000 grey images of clothes in 10 classes, padded to 32×32. Written `fashion-mnist`.
    FashionMnist,
    /// Restricted-ImageNet: nine super-classes out of 203 classes of an ImageNet folder in the data directory, of
    /// whichever of their folders are there, 224×224. Not balanced: most images are dogs. Written
    /// `restricted-imagenet`.
    RestrictedImageNet,
    /// A folder in the data directory with `train/CLASS/*` and `test/CLASS/*`, read as 32×32 colour images. Written
    /// `folder:NAME`.
    Folder(String),
}

impl DatasetName {
    /// Colour channels of an image.
    pub fn channels(&self) -> usize {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Svhn | Self::RestrictedImageNet | Self::Folder(_) => 3,
            Self::FashionMnist => 1,
        }
    }

    /// Height and width of an image as networks see it, in pixels.
    pub fn image_side(&self) -> usize {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Svhn | Self::FashionMnist | Self::Folder(_) => 32,
            Self::RestrictedImageNet => 224,
        }
    }

    /// Classes, where the name alone tells.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Cifar10 | Self::Svhn | Self::FashionMnist => Some(10),
            Self::Cifar100 => Some(100),
            Self::RestrictedImageNet => Some(9),
            Self::Folder(_) => None,
        }
    }

    /// The normalisation that is used where a spec names none.
    pub fn normalization(&self) -> Normalization {
        match self {
            Self::Cifar10 => Normalization::Cifar10Fast,
            Self::Cifar100 => Normalization::Cifar100,
            Self::Svhn => Normalization::Svhn,
            Self::FashionMnist => Normalization::FashionMnist,
            Self::RestrictedImageNet => Normalization::RestrictedImageNet,
            Self::Folder(_) => Normalization::Identity,
        }
    }

    /// The augmentation that is used where a spec names none.
    pub fn augmentation(&self) -> Augmentation {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Svhn | Self::FashionMnist | Self::Folder(_) => Augmentation::Light,
            Self::RestrictedImageNet => Augmentation::ImageNet,
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cifar10 => f.write_str("cifar10"),
            Self::Cifar100 => f.write_str("cifar100"),
            Self::Svhn => f.write_str("svhn"),
            Self::FashionMnist => f.write_str("fashion-mnist"),
            Self::RestrictedImageNet => f.write_str("restricted-imagenet"),
            Self::Folder(name) => write!(f, "folder:{name}"),
        }
    }
}

impl FromStr for DatasetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cifar10" => Ok(Self::Cifar10),
            "cifar100" => Ok(Self::Cifar100),
            "svhn" => Ok(Self::Svhn),
            "fashion-mnist" => Ok(Self::FashionMnist),
            "restricted-imagenet" => Ok(Self::RestrictedImageNet),
            other => match other.strip_prefix("folder:") {
                // A name, not a path: a job must not reach outside of the data directory.
                Some(name) if !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) => {
                    Ok(Self::Folder(name.to_owned()))
                }
                _ => Err(format!(
                    "unknown dataset `{other}`: use cifar10, cifar100, svhn, fashion-mnist, restricted-imagenet or folder:NAME (a \
                     folder in the data directory)"
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
    /// As light, then brightness, contrast and saturation by factors of 0.75 to 1.25 in random order and a rotation by
    /// up to 2 degrees, each rounded to 8 bits: MadryLab's transforms for CIFAR-10.
    Heavy,
    /// A random part of the picture (8 to 100 % of its area, ratio 3/4 to 4/3) resized, a flip, colours by factors of
    /// 0.9 to 1.1, lighting: MadryLab's transforms for ImageNet.
    #[serde(rename = "imagenet")]
    ImageNet,
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
    /// Mean and deviation of CIFAR-100's training pixels.
    Cifar100,
    /// Mean and deviation of the training pixels of SVHN's cropped digits.
    Svhn,
    /// The constants of Restricted-ImageNet.
    #[serde(rename = "restricted-imagenet")]
    RestrictedImageNet,
    /// The constants that are usual for ImageNet, as torchvision's and MadryLab's networks have them.
    #[serde(rename = "imagenet")]
    ImageNet,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cifar10Madry,
        Self::Cifar10Fast,
        Self::FashionMnist,
        Self::Identity,
        Self::Cifar100,
        Self::Svhn,
        Self::RestrictedImageNet,
        Self::ImageNet,
    ];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cifar10Madry => "cifar10-madry",
            Self::Cifar10Fast => "cifar10-fast",
            Self::FashionMnist => "fashion-mnist",
            Self::Identity => "identity",
            Self::Cifar100 => "cifar100",
            Self::Svhn => "svhn",
            Self::RestrictedImageNet => "restricted-imagenet",
            Self::ImageNet => "imagenet",
        }
    }

    /// (mean, standard deviation) per channel, in pixel units; a single entry holds for every channel.
    pub fn constants(self) -> (&'static [f64], &'static [f64]) {
        match self {
            Self::Cifar10Madry => (&[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010]),
            Self::Cifar10Fast => (&[0.4914, 0.4822, 0.4465], &[0.2471, 0.2435, 0.2616]),
            Self::FashionMnist => (&[0.2860], &[0.3530]),
            Self::Identity => (&[0.0], &[1.0]),
            Self::Cifar100 => (&[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]),
            Self::Svhn => (&[0.4377, 0.4438, 0.4728], &[0.1980, 0.2010, 0.1970]),
            Self::RestrictedImageNet => (&[0.4717, 0.4499, 0.3837], &[0.2600, 0.2516, 0.2575]),
            Self::ImageNet => (&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
        }
    }

    /// Whether the constants suit images of so many channels.
    pub fn suits(self, channels: usize) -> bool {
        let entries = self.constants().0.len();
        entries == 1 || entries == channels
    }
}
