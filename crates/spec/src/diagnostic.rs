//! Measurements that tell a robust network from one whose gradients lead nowhere.

use serde::{Deserialize, Serialize};

use crate::{ArtifactHash, ThreatModel};

/// Everything that one job has measured of a network, beside its evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnosticsRecord {
    /// Hash of the checkpoint file that was measured.
    pub weights: ArtifactHash,
    /// The ball of the attacks among them, where a number does not say another.
    pub threat: ThreatModel,
    /// Time of all measurements together, in microseconds.
    pub elapsed_us: u64,
    /// The measurements, in the order in which they were made; each name once.
    pub numbers: Vec<Diagnostic>,
}

/// A number under its name.
///
/// Names are dotted, from the general to the particular: `ladder.x0.001.robust`. A number counts images, unless its name ends in
/// `.is` (1 = yes, 0 = no) or `.scale`, `.epsilon` (a factor, a radius in pixel units).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// What it is: at most 100 bytes of lower-case letters, digits, dots and hyphens.
    pub name: String,
    /// How much it is; finite.
    pub value: f64,
    /// What the name does not say, such as the attack that was made; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Diagnostic {
    /// A number with what there is to say of it.
    pub fn new(name: impl Into<String>, value: f64, detail: impl Into<String>) -> Self {
        Self { name: name.into(), value, detail: detail.into() }
    }

    /// Whether name and value are such as can be stored and found again.
    pub fn is_sound(&self) -> bool {
        let known = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        (1..=100).contains(&self.name.len()) && self.name.bytes().all(known) && self.value.is_finite()
    }
}

impl DiagnosticsRecord {
    /// The number of that name, where it was measured.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.number(name).map(|number| number.value)
    }

    /// The same, with what there is to say of it.
    pub fn number(&self, name: &str) -> Option<&Diagnostic> {
        self.numbers.iter().find(|number| number.name == name)
    }

    /// What lies between two parts of a name, with the number: of `ladder.` and `.robust` each scale, in the order of measurement.
    pub fn between<'a>(&'a self, prefix: &'a str, suffix: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.numbers
            .iter()
            .filter_map(move |number| Some((number.name.strip_prefix(prefix)?.strip_suffix(suffix)?, number.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name_and_by_the_ends_of_it() {
        let numbers = [("ladder.x1.robust", 3.0), ("ladder.x30.robust", 1.0), ("images", 9.0)];
        let record = DiagnosticsRecord {
            weights: "ab".repeat(32).parse().unwrap(),
            threat: ThreatModel { norm: crate::Norm::L2, epsilon: 1.0.into() },
            elapsed_us: 0,
            numbers: numbers.map(|(name, value)| Diagnostic::new(name, value, "")).to_vec(),
        };
        assert_eq!(record.value("images"), Some(9.0));
        assert_eq!(record.value("image"), None);
        let ladder: Vec<_> = record.between("ladder.x", ".robust").collect();
        assert_eq!(ladder, [("1", 3.0), ("30", 1.0)]);
    }

    #[test]
    fn a_number_that_is_none_or_has_no_plain_name_is_unsound() {
        assert!(Diagnostic::new("ladder.x0.001.robust", 0.0, "").is_sound());
        let long = "x".repeat(101);
        for (name, value) in [("", 0.0), ("a b", 0.0), ("A", 0.0), (long.as_str(), 0.0), ("a", f64::NAN)] {
            assert!(!Diagnostic::new(name, value, "").is_sound(), "{name} {value}");
        }
    }
}
