//! What an adversary may do to an image.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The norm that bounds a perturbation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// The largest change of any pixel.
    Linf,
    /// The Euclidean length of the change over all pixels and channels.
    L2,
    /// The sum of the changes' sizes over all pixels and channels.
    L1,
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linf => "linf",
            Self::L2 => "l2",
            Self::L1 => "l1",
        })
    }
}

/// A distance in pixel units (images lie in [0, 1]).
///
/// Reads `8/255` as well as `0.03`, and remembers how it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "EpsilonText", into = "String")]
pub struct Epsilon {
    value: f64,
    text: String,
}

#[derive(Deserialize)]
// Private to the reading of one scalar: a number or a text, never a table.
#[serde(untagged, expecting = "expected a number like 0.03 or a text like 8/255")]
enum EpsilonText {
    Number(f64),
    Text(String),
}

impl Epsilon {
    /// The distance, in units of a pixel's full range.
    pub fn value(&self) -> f64 {
        self.value
    }
}

impl From<f64> for Epsilon {
    fn from(value: f64) -> Self {
        Self { value, text: value.to_string() }
    }
}

/// A text that is neither a number nor a fraction of two numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a distance: write a number like 0.03 or a fraction like 8/255")]
pub struct ParseEpsilonError(String);

impl FromStr for Epsilon {
    type Err = ParseEpsilonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| part.trim().parse::<f64>().map_err(|_| ParseEpsilonError(text.to_owned()));
        let value = match text.split_once('/') {
            Some((numerator, denominator)) => number(numerator)? / number(denominator)?,
            None => number(text)?,
        };
        Ok(Self { value, text: text.to_owned() })
    }
}

impl TryFrom<EpsilonText> for Epsilon {
    type Error = ParseEpsilonError;

    fn try_from(text: EpsilonText) -> Result<Self, Self::Error> {
        match text {
            EpsilonText::Number(value) => Ok(value.into()),
            EpsilonText::Text(text) => text.parse(),
        }
    }
}

impl From<Epsilon> for String {
    fn from(epsilon: Epsilon) -> Self {
        epsilon.text
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A ball around the natural image in which the adversary may choose, cut by the pixel box [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreatModel {
    /// The norm of the ball.
    pub norm: Norm,
    /// Its radius, in pixel units.
    pub epsilon: Epsilon,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_keeps_its_text_and_has_its_value() {
        let epsilon: Epsilon = "8/255".parse().unwrap();
        assert_eq!((epsilon.value(), epsilon.to_string().as_str()), (8.0 / 255.0, "8/255"));
    }

    #[test]
    fn a_distance_survives_json() {
        for text in ["8/255", "0.1", "1"] {
            let epsilon: Epsilon = text.parse().unwrap();
            let json = serde_json::to_string(&epsilon).unwrap();
            assert_eq!(serde_json::from_str::<Epsilon>(&json).unwrap(), epsilon);
        }
        assert_eq!(serde_json::from_str::<Epsilon>("0.25").unwrap().value(), 0.25);
    }

    #[test]
    fn nonsense_is_no_distance() {
        for text in ["", "8/", "eight", "1/2/3"] {
            assert!(text.parse::<Epsilon>().is_err(), "{text}");
        }
    }
}
