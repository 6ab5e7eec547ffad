//! Networks in the daemon's artifact store that no job of its own made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ArtifactHash, NetworkSpec, ParseIdError};

/// What an imported network is called: 1 to 100 letters, digits and `-_.`, the first one a letter, so that none is taken for a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(String);

impl NetworkName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NetworkName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=100).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|first: char| first.is_ascii_alphabetic());
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseIdError::new(text, "1 to 100 letters, digits and -_. that begin with a letter")),
        }
    }
}

impl TryFrom<String> for NetworkName {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.0
    }
}

/// Names a network in the artifact store: `NAME` as it was imported, `sha256:HASH` by content, or `NAME@sha256:HASH`, which is both
/// and what a submitted job holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ArtifactRef {
    /// The network that was imported under that name.
    Name(NetworkName),
    /// The network whose file has that hash.
    Hash(ArtifactHash),
    /// The same, with the name that it was imported under.
    Pinned(NetworkName, ArtifactHash),
}

impl ArtifactRef {
    /// The hash, where it is known.
    pub fn sha256(&self) -> Option<&ArtifactHash> {
        match self {
            Self::Name(_) => None,
            Self::Hash(sha256) | Self::Pinned(_, sha256) => Some(sha256),
        }
    }

    /// The name, where there is one.
    pub fn name(&self) -> Option<&NetworkName> {
        match self {
            Self::Name(name) | Self::Pinned(name, _) => Some(name),
            Self::Hash(_) => None,
        }
    }

    /// The name, or else the beginning of the hash: for tables.
    pub fn label(&self) -> String {
        match self {
            Self::Name(name) | Self::Pinned(name, _) => name.to_string(),
            Self::Hash(sha256) => format!("sha256:{}…", &sha256.as_str()[..12]),
        }
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Hash(sha256) => write!(f, "sha256:{sha256}"),
            Self::Pinned(name, sha256) => write!(f, "{name}@sha256:{sha256}"),
        }
    }
}

impl FromStr for ArtifactRef {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text.strip_prefix("sha256:"), text.split_once("@sha256:")) {
            (Some(sha256), _) => sha256.parse().map(Self::Hash),
            (None, Some((name, sha256))) => Ok(Self::Pinned(name.parse()?, sha256.parse()?)),
            (None, None) => text.parse().map(Self::Name),
        }
    }
}

impl TryFrom<String> for ArtifactRef {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ArtifactRef> for String {
    fn from(artifact: ArtifactRef) -> Self {
        artifact.to_string()
    }
}

/// A network that no job made, as it is imported and listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportedNetwork {
    /// What it is called, once for all times.
    pub name: NetworkName,
    /// Hash of its file, in the project's own form.
    pub sha256: ArtifactHash,
    /// Size of that file.
    pub bytes: u64,
    /// What it is.
    pub network: NetworkSpec,
    /// Where it came from: the name of the file that was imported, and that file's hash.
    pub origin: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_reference_reads_what_it_writes() {
        let hash = "0123456789abcdef".repeat(4);
        for text in ["madry-linf", &format!("sha256:{hash}"), &format!("madry_l2.0@sha256:{hash}")] {
            assert_eq!(text.parse::<ArtifactRef>().unwrap().to_string(), *text);
        }
        assert_eq!(format!("a@sha256:{hash}").parse::<ArtifactRef>().unwrap().label(), "a");
        assert_eq!(format!("sha256:{hash}").parse::<ArtifactRef>().unwrap().label(), "sha256:0123456789ab…");
    }

    #[test]
    fn what_names_no_network_is_refused() {
        let long = "a".repeat(101);
        for text in ["", "sha256:12", "a b", "-a", "12", "a@sha256:", "a@b", "../a", "ä", &long] {
            assert!(text.parse::<ArtifactRef>().is_err(), "{text}");
        }
    }
}
