//! Identifiers. None is a bare number, so that a job cannot be taken for an attempt.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64); // SQLite's integers are i64: the conversion is infallible both ways.

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.parse() {
                    Ok(number) if number > 0 => Ok(Self(number)),
                    _ => Err(ParseIdError { text: text.to_owned(), expected: "a positive whole number" }),
                }
            }
        }
    };
}

integer_id!(
    /// A job: one training or evaluation, whatever number of attempts it takes.
    JobId
);
integer_id!(
    /// One try at a job. Lease, fencing token and checkpoint folder in one; never reused.
    AttemptId
);
integer_id!(
    /// A registered worker process.
    WorkerId
);
integer_id!(
    /// A plan as it was submitted.
    SubmissionId
);

/// A text that is no identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not valid here: expected {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.to_owned(), expected }
    }
}

/// Chosen by a client before its first try and kept over retries, so that a repeated request has one effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseIdError { text: text.to_owned(), expected: "8 to 64 letters, digits and hyphens" }),
        }
    }
}

impl TryFrom<String> for RequestId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

/// SHA-256 of an artifact's bytes, in lower-case hexadecimal: its name in every store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactHash(String);

impl ArtifactHash {
    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactHash {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseIdError { text: text.to_owned(), expected: "64 lower-case hexadecimal digits" }),
        }
    }
}

impl TryFrom<String> for ArtifactHash {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ArtifactHash> for String {
    fn from(hash: ArtifactHash) -> Self {
        hash.0
    }
}
