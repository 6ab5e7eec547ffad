//! Why a checkpoint cannot be used.

use std::io;

use rrm_pickle::Fault;
use rrm_spec::{Arch, Normalization};
use safetensors::SafeTensorError;

use crate::Misfits;
use crate::printable::plain_text;

/// Why a checkpoint cannot be used; completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("read the file: {0}")]
    Io(#[from] io::Error),
    /// It is too large for any network of ours.
    #[error("read the file: {bytes} bytes are more than any checkpoint's {limit}")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// The largest size read.
        limit: u64,
    },
    /// It is of no form that is known.
    #[error(
        "recognise the file: expected a checkpoint of PyTorch (a zip archive, or the older pickled form) or a safetensors \
         file, found {found}"
    )]
    Unrecognized {
        /// What it is instead, as far as its beginning tells.
        found: &'static str,
    },
    /// A pickle in it is damaged or of an unknown protocol.
    #[error("read the pickle {part} {fault}")]
    Pickle {
        /// Which of the file's pickles.
        part: String,
        /// What is wrong, and where in the pickle.
        fault: Fault,
    },
    /// Its zip archive is damaged.
    #[error("read the zip archive: {}", plain_text(&.0.to_string()))]
    Zip(#[from] zip::result::ZipError),
    /// It is a damaged safetensors file.
    #[error("read the safetensors file: {}", plain_text(&.0.to_string()))]
    Safetensors(#[from] SafeTensorError),
    /// Its parts contradict each other.
    #[error("read {part}: {what}")]
    Malformed {
        /// Which part.
        part: String,
        /// What is wrong.
        what: String,
    },
    /// It holds no state dict that could be found.
    #[error("find the network's state dict in the file: {what}")]
    NoStateDict {
        /// What is there instead.
        what: String,
    },
    /// Two tensors stand for one of the network's, and differ.
    #[error("choose between `{chosen}` and `{other}`: both stand for `{key}`, and they differ")]
    Ambiguous {
        /// The network's key.
        key: String,
        /// A name in the file.
        chosen: String,
        /// Another name in the file.
        other: String,
    },
    /// It does not say what network it holds, and nobody else does.
    #[error("tell the architecture: the file does not say it")]
    NoArch,
    /// Its own description of its network contradicts what was asked for.
    #[error("take the file's network, {found}, for {asked}")]
    OtherNetwork {
        /// What the file says.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// Its own description says that logits are divided by another number than was asked for.
    #[error("divide the network's logits by {asked}: the file says that they are divided by {found}")]
    OtherTemperature {
        /// What the file says.
        found: f64,
        /// What was asked for.
        asked: f64,
    },
    /// Its own description of its network cannot be understood.
    #[error("understand the metadata entry `rrm.network`: {0}")]
    Description(String),
    /// How its network normalises pixels is not known.
    #[error("tell how the network normalises pixels: {why}")]
    NoNormalization {
        /// What is missing.
        why: String,
    },
    /// Its tensors are not those of the network.
    #[error("fit the tensors to {arch}: {misfits}{}", hint(*fitting))]
    Misfit {
        /// The network's architecture.
        arch: Arch,
        /// Every difference.
        misfits: Misfits,
        /// An architecture that the tensors do fit.
        fitting: Option<Arch>,
    },
    /// No network has this shape.
    #[error("describe a network: {0}")]
    Spec(#[from] rrm_spec::Violations),
    /// Some weights are no numbers.
    #[error("use weights that are infinite or no numbers: {count} in {keys}")]
    NotFinite {
        /// How many.
        count: usize,
        /// In which tensors.
        keys: String,
    },
}

fn hint(fitting: Option<Arch>) -> String {
    fitting.map_or_else(String::new, |arch| format!("\nthe tensors are those of {arch}"))
}

impl CheckpointError {
    pub(crate) fn malformed(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Malformed { part: plain_text(&part.into()), what: plain_text(&what.into()) }
    }

    /// What the user can do about it, where there is something.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::NoArch => Some(format!("name it: --arch with {}", Arch::FORMS)),
            Self::NoNormalization { .. } => {
                let names: Vec<&str> = Normalization::ALL.into_iter().map(Normalization::name).collect();
                Some(format!("name the constants of its training: --normalization with one of {}", names.join(", ")))
            }
            Self::OtherTemperature { found, .. } => Some(format!(
                "import it with --temperature {found}, or without; an evaluation may attack it at another (`temperature` of an evaluate job)"
            )),
            Self::Misfit { fitting: Some(arch), .. } => Some(format!("import it with --arch {arch}")),
            Self::Zip(_) | Self::Pickle { .. } | Self::Safetensors(_) | Self::Malformed { .. } => {
                Some("the file is damaged or was cut off: fetch it again".to_owned())
            }
            Self::Io(_)
            | Self::TooLarge { .. }
            | Self::Unrecognized { .. }
            | Self::NoStateDict { .. }
            | Self::Ambiguous { .. }
            | Self::OtherNetwork { .. }
            | Self::Description(_)
            | Self::Misfit { fitting: None, .. }
            | Self::Spec(_)
            | Self::NotFinite { .. } => None,
        }
    }
}
