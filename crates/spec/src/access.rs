//! What users may do, and the tokens that stand for it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ParseIdError, UserName};

/// What the holder of a token may do. Of the first three each includes those before it; workers stand apart: a token that
/// leaks from a node must not submit jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees everything, changes nothing.
    Read,
    /// Submits and imports besides, and changes what its user has submitted.
    Submit,
    /// Changes everybody's jobs, drains workers, gives out tokens and takes them back besides.
    Admin,
    /// Leases and reports: a worker.
    Work,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Admin, Self::Work];

    /// Its name in files, tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
            Self::Work => "work",
        }
    }

    /// The role with that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// SHA-256 of a token: what is stored of it. Comparing two takes as long wherever they differ.
#[derive(Clone, Copy, Debug, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// From the digest.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its first twelve digits: enough to tell a lab's tokens apart.
    pub fn short(self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        // Every byte is looked at: the time tells nothing.
        self.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for TokenHash {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseIdError::new(text, "64 lower-case hexadecimal digits");
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let bytes: Vec<u8> =
            digits.ok_or_else(refuse)?.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect();
        if text.len() == 64 { bytes.try_into().map(Self).map_err(|_| refuse()) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for TokenHash {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

/// What the holder of a token is and may, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Of the token.
    pub sha256: TokenHash,
    /// Whose it is.
    pub user: UserName,
    /// What it is for.
    pub role: Role,
    /// When it ends to be valid, in microseconds since the Unix epoch; absent = when it is revoked.
    pub expires_at: Option<i64>,
}

/// A [`Grant`] as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// What was granted.
    pub grant: Grant,
    /// When, in microseconds since the Unix epoch.
    pub created_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_name_of_its_own() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!(Role::from_name("root"), None);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_differs_in_every_bit() {
        let hash = TokenHash::new(std::array::from_fn(|i| (i * 37 + 5) as u8));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bit in 0..256 {
            let TokenHash(mut bytes) = hash;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(TokenHash::new(bytes), hash, "bit {bit}");
        }
        for text in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"g".repeat(64)] {
            assert!(text.parse::<TokenHash>().is_err(), "{text}");
        }
    }
}
