//! How finely a training computes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The numbers of a training's products. Weights, momentum, running statistics, sums and losses are 32 bits wide in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Factors rounded to brain floats: eight significant bits with the range of 32-bit floats, so that no gradient vanishes,
    /// however small the λ it was multiplied by.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Whether it is what a spec without one means.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|precision| precision.to_string() == text);
        named.ok_or_else(|| format!("unknown precision `{text}`: use f32 or bf16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_called_the_same_in_json_and_on_the_command_line() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            assert_eq!(serde_json::to_string(&precision).unwrap(), format!("\"{precision}\""));
        }
        let refused = "fp16".parse::<Precision>().unwrap_err();
        assert!(refused.contains("`fp16`") && refused.contains("f32 or bf16"), "{refused}");
    }
}
