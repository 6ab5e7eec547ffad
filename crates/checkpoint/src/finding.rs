//! What a reader of a network's numbers should know about where they came from.

use std::fmt;

use rrm_spec::Normalization;

use crate::{Dtype, Form};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Likely to change what the network does.
    Warning,
}

/// Something that an import found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// What kind of file it was.
    Form(Form),
    /// Prefixes that were stripped from keys.
    Prefixes(Vec<String>),
    /// Tensors that were there twice, with the same numbers.
    Duplicates(usize),
    /// Entries of the file beside the state dict, such as the optimiser's.
    PassedOver(Vec<String>),
    /// Values in the state dict that are no tensors.
    NoTensors(Vec<String>),
    /// How pixels are normalised, by the file's own constants.
    NormalizationFound(Normalization),
    /// How pixels are normalised, by whoever imports it: the file does not say.
    NormalizationTold(Normalization),
    /// The file's constants are not those that were asked for.
    NormalizationDiffers {
        /// What was asked for, and is used.
        used: Normalization,
        /// The means in the file.
        mean: Vec<f64>,
        /// The standard deviations in the file.
        std: Vec<f64>,
        /// The constants that these are, if they are known.
        found: Option<Normalization>,
    },
    /// What logits are divided by, as the file says.
    TemperatureFound(f64),
    /// What logits are divided by, by whoever imports it: the file does not say.
    TemperatureTold(f64),
    /// Tensors were of another type, and are f32 now.
    Converted {
        /// What they were.
        from: Dtype,
        /// How many tensors.
        tensors: usize,
        /// How many of their numbers changed by that.
        rounded: usize,
    },
    /// The weights are f32 but were rounded to f16, as apex does that trains in fp16 without master weights.
    HalfPrecisionValues,
    /// Features go through an adapter to a representation of that width.
    Adapter(usize),
    /// The authors' network of this architecture has an adapter, this one has none: it is MadryLab's.
    NoAdapter {
        /// Width of the features, which are the representation.
        representation: usize,
    },
    /// What the shortcuts' convolutions read, which no key tells: each block's input, as in fast_adversarial's network.
    ShortcutsOfInputs,
    /// Batch counters were not in the file, as before PyTorch 0.4.1, and are 0 now.
    NoCounters(usize),
}

impl Finding {
    /// How much it weighs.
    pub fn weight(&self) -> Weight {
        match self {
            Self::NormalizationDiffers { .. } => Weight::Warning,
            Self::Converted { rounded, .. } if *rounded > 0 => Weight::Warning,
            Self::Form(_)
            | Self::Prefixes(_)
            | Self::Duplicates(_)
            | Self::PassedOver(_)
            | Self::NoTensors(_)
            | Self::NormalizationFound(_)
            | Self::NormalizationTold(_)
            | Self::TemperatureFound(_)
            | Self::TemperatureTold(_)
            | Self::Converted { .. }
            | Self::HalfPrecisionValues
            | Self::Adapter(_)
            | Self::NoAdapter { .. }
            | Self::ShortcutsOfInputs
            | Self::NoCounters(_) => Weight::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(form) => write!(f, "the file is {form}"),
            Self::Prefixes(prefixes) => write!(f, "stripped from keys: {}", prefixes.join(", ")),
            Self::Duplicates(count) => {
                write!(f, "{count} tensors are there twice, with the same numbers: one of each was taken")
            }
            Self::PassedOver(names) => write!(f, "not part of the network, left out: {}", names.join(", ")),
            Self::NoTensors(names) => write!(f, "no tensors, left out: {}", names.join(", ")),
            Self::NormalizationFound(used) => write!(f, "pixels are normalised by the file's constants, {used}"),
            Self::NormalizationTold(used) => {
                write!(f, "pixels are normalised by {used}, as told: the file does not say")
            }
            Self::NormalizationDiffers { used, mean, std, found } => {
                let known = found.map_or_else(String::new, |found| format!(" ({found})"));
                write!(
                    f,
                    "pixels are normalised by {used}, as told, but the file's constants are mean {}, deviation {}{known}: \
                     the network was trained with those",
                    listed(mean),
                    listed(std)
                )
            }
            Self::TemperatureFound(temperature) => write!(f, "logits are divided by {temperature}, as the file says"),
            Self::TemperatureTold(temperature) => {
                write!(f, "logits are divided by {temperature}, as told: the file does not say")
            }
            Self::Converted { from, tensors, rounded: 0 } => {
                write!(f, "{tensors} tensors were {from}, and are f32 now, without loss")
            }
            Self::Converted { from, tensors, rounded } => {
                write!(f, "{tensors} tensors were {from}, and are f32 now; {rounded} of their numbers were rounded")
            }
            Self::HalfPrecisionValues => f.write_str(
                "the weights are f32 with no more precision than f16: trained in fp16 without master weights",
            ),
            Self::Adapter(width) => write!(f, "an adapter leads from the features to a representation of {width}"),
            Self::NoAdapter { representation } => write!(
                f,
                "there is no adapter, as the authors' network has: the representation is the {representation} features \
                 (MadryLab's form)"
            ),
            Self::ShortcutsOfInputs => f.write_str(
                "the 1×1 shortcuts read their block's input, as in fast_adversarial's network; where a file's own read the block's \
                 first ReLU, as in robust_overfitting's, keys are the same, but accuracy is lost here",
            ),
            Self::NoCounters(count) => write!(f, "{count} batch counters are not in the file, and are 0 now"),
        }
    }
}

fn listed(numbers: &[f64]) -> String {
    numbers.iter().map(|number| format!("{number:.4}")).collect::<Vec<_>>().join(" ")
}
