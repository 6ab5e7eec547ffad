//! Who wants something.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ParseIdError;

/// A user's name: 1 to 64 letters, digits and `-_.@`, the first one a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// The owner of everything where users have no names of their own.
    pub fn lab() -> Self {
        Self("lab".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for UserName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        match fits {
            true => Ok(Self(text.to_owned())),
            false => {
                Err(ParseIdError::new(text, "1 to 64 letters, digits and -_.@ that begin with a letter or a digit"))
            }
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_plain_text() {
        for name in ["lab", "ada.lovelace@lab-1", "7of9", "A_b"] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        for name in ["", "-x", ".x", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
    }
}
