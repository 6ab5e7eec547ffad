//! Who wants something.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ParseIdError;

/// A user's name: 1 to 64 letters, digits and `-_.@`, the first one a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(Cow<'static, str>);

impl UserName {
    /// The owner of everything where users have no names of their own.
    pub const fn lab() -> Self {
        Self(Cow::Borrowed("lab"))
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
            true => Ok(Self(Cow::Owned(text.to_owned()))),
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
        name.0.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_name_is_short_and_plain() {
        for name in ["lab", "ada", "ada.lovelace@lab-1", "9a", "A_b9"] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        for name in ["", "-a", "a b", "a/b", "ä", "a\n", &"a".repeat(65)] {
            assert!(name.parse::<UserName>().unwrap_err().to_string().contains("1 to 64 letters"), "{name}");
        }
        assert_eq!("lab".parse(), Ok(UserName::lab()));
    }
}
