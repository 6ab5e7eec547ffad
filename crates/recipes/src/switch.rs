//! Which side is followed where paper and code differ.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::RecipeError;

/// One of the two descriptions of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What the paper says.
    Paper,
    /// What the released code does.
    Code,
}

impl Side {
    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Paper => Self::Code,
            Self::Code => Self::Paper,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Code => "code",
        })
    }
}

/// The side to follow in one difference. Written `NAME=paper` or `NAME=code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The difference's name.
    pub difference: String,
    /// The side to follow.
    pub side: Side,
}

impl FromStr for Switch {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || RecipeError::MalformedSwitch { text: text.to_owned() };
        let (difference, side) = text.split_once('=').ok_or_else(malformed)?;
        let side = [Side::Paper, Side::Code].into_iter().find(|known| known.to_string() == side.trim());
        Ok(Self { difference: difference.trim().to_owned(), side: side.ok_or_else(malformed)? })
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.difference, self.side)
    }
}

/// Sides to follow; where none is named, each difference's own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Switches(Vec<Switch>);

impl Switches {
    /// The switches, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Switch> {
        self.0.iter()
    }

    /// The side that was asked for; of several, the last.
    pub(crate) fn side(&self, difference: &str) -> Option<Side> {
        self.0.iter().rev().find(|switch| switch.difference == difference).map(|switch| switch.side)
    }
}

impl FromIterator<Switch> for Switches {
    fn from_iter<I: IntoIterator<Item = Switch>>(switches: I) -> Self {
        Self(switches.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_reads_what_it_writes_and_nothing_else() {
        for text in ["kd-loss=paper", "rdt-schedule=code"] {
            assert_eq!(text.parse::<Switch>().unwrap().to_string(), text);
        }
        for text in ["kd-loss", "kd-loss=book", "=", "kd-loss=paper=code"] {
            let refused = text.parse::<Switch>().unwrap_err().to_string();
            assert!(refused.contains("NAME=paper or NAME=code"), "{refused}");
        }
    }

    #[test]
    fn the_last_of_several_switches_counts() {
        let switches: Switches =
            ["a=paper", "b=paper", "a=code"].map(|text| text.parse().unwrap()).into_iter().collect();
        assert_eq!(
            (switches.side("a"), switches.side("b"), switches.side("c")),
            (Some(Side::Code), Some(Side::Paper), None)
        );
    }
}
