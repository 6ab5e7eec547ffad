//! What can be wrong with a network or its checkpoint.

use std::{fmt, io, path::PathBuf};

use candle_core::DType;
use rrm_spec::{Arch, Violations};
use safetensors::SafeTensorError;

/// Why a network could not be built, loaded or saved; completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A checkpoint cannot be used.
    #[error("load the network in {}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadFault,
    },
    /// A checkpoint cannot be written.
    #[error("write the network to {}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Weights cannot be put in the form of a checkpoint.
    #[error("serialise the network")]
    Serialize(#[from] SafeTensorError),
    /// No network has this shape.
    #[error("describe a network: {0}")]
    Spec(#[from] Violations),
    /// The tensors are not those of the network.
    #[error("fit the tensors to {arch}: {mismatches}")]
    Mismatch {
        /// The network's architecture.
        arch: Arch,
        /// Every difference.
        mismatches: Mismatches,
    },
    /// A tensor operation failed.
    #[error("compute with tensors")]
    Tensor(#[from] candle_core::Error),
}

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    /// It is too large for any network of ours.
    #[error("{bytes} bytes are more than any network's {limit}")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// The largest size read.
        limit: u64,
    },
    /// It is damaged, or of another kind.
    #[error("not a whole safetensors file")]
    Format(#[from] SafeTensorError),
    /// It does not say which network it holds.
    #[error("the metadata has no entry `rrm.network`: not a checkpoint of this project")]
    NoDescription,
    /// What it says about its network cannot be understood.
    #[error("the metadata entry `rrm.network` cannot be understood")]
    Description(#[from] serde_json::Error),
    /// What it says about its network does not fit its tensors.
    #[error("its parts do not fit together")]
    Network(#[source] Box<ModelError>),
}

/// Differences between the tensors a network needs and those it was given; never empty in an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatches(pub Vec<Mismatch>);

/// One difference between the tensors a network needs and those it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A tensor is not there.
    Missing {
        /// Its key.
        key: String,
        /// The shape it should have.
        shape: Vec<usize>,
    },
    /// A tensor has the wrong shape.
    Shape {
        /// Its key.
        key: String,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A tensor has numbers of the wrong kind: integers for weights, or fractions for counters.
    Kind {
        /// Its key.
        key: String,
        /// Their type.
        found: DType,
    },
    /// The network has no such tensor.
    Unexpected {
        /// Its key.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, shape } => write!(f, "`{key}` {shape:?} is missing"),
            Self::Shape { key, expected, found } => write!(f, "`{key}` is {found:?} instead of {expected:?}"),
            Self::Kind { key, found } => write!(f, "`{key}` has numbers of type {found:?}"),
            Self::Unexpected { key, shape } => write!(f, "`{key}` {shape:?} does not belong to it"),
        }
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed: Vec<String> = self.0.iter().map(Mismatch::to_string).collect();
        f.write_str(&listed.join("; "))
    }
}
