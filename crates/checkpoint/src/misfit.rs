//! Differences between the tensors a network needs and those in a file.

use std::fmt;

use crate::Dtype;

/// More than these are counted, not listed.
const LISTED: usize = 12;

/// Every difference; never empty in an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits(pub Vec<Misfit>);

/// One difference between the tensors a network needs and those in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
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
    /// A tensor has numbers of the wrong kind: whole ones for weights, or fractions for counters.
    Kind {
        /// Its key.
        key: String,
        /// Their type.
        found: Dtype,
    },
    /// The network has no such tensor.
    Unexpected {
        /// Its name in the file.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The number of classes is not the one that was asked for.
    Classes {
        /// What was asked for.
        expected: usize,
        /// What the last layer has.
        found: usize,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, shape } => write!(f, "`{key}` {shape:?} is missing"),
            Self::Shape { key, expected, found } => write!(f, "`{key}` is {found:?} instead of {expected:?}"),
            Self::Kind { key, found } => write!(f, "`{key}` has numbers of type {found}"),
            Self::Unexpected { name, shape } => write!(f, "`{name}` {shape:?} does not belong to it"),
            Self::Classes { expected, found } => write!(f, "it knows {found} classes instead of {expected}"),
        }
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "difference" } else { "differences" };
        write!(f, "{} {noun}", self.0.len())?;
        self.0.iter().take(LISTED).try_for_each(|misfit| write!(f, "\n  {misfit}"))?;
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
