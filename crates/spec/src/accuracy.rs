//! Accuracies as counts: percentages neither add nor re-aggregate.

use serde::{Deserialize, Serialize};

/// How many of how many images were classified correctly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Images classified correctly.
    pub correct: u64,
    /// Images looked at.
    pub total: u64,
}

impl Accuracy {
    /// The share of correct images in 0..=1; `None` where no image was looked at.
    pub fn fraction(self) -> Option<f64> {
        (self.total > 0).then(|| self.correct as f64 / self.total as f64)
    }

    /// Wilson's score interval at 95 % (Wilson 1927), as fractions; `None` where no image was looked at.
    ///
    /// Unlike the normal approximation it stays inside 0..=1 and is honest at 0 and at 1.
    pub fn wilson95(self) -> Option<(f64, f64)> {
        const Z: f64 = 1.959_963_984_540_054;
        let p = self.fraction()?;
        let n = self.total as f64;
        let scale = 1.0 / (1.0 + Z * Z / n);
        let centre = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        // At the ends the bound is exact in theory, and a rounding error away from it in floating point.
        let low = if self.correct == 0 { 0.0 } else { scale * (centre - half) };
        let high = if self.correct == self.total { 1.0 } else { scale * (centre + half) };
        Some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_agrees_with_published_values() {
        // 8 of 10, 95 %: (0.4902, 0.9433), Newcombe 1998, Table II form.
        let (low, high) = Accuracy { correct: 8, total: 10 }.wilson95().unwrap();
        assert!((low - 0.4902).abs() < 5e-4 && (high - 0.9433).abs() < 5e-4, "{low} {high}");
    }

    #[test]
    fn zero_of_n_has_lower_bound_zero_and_a_positive_upper_bound() {
        let (low, high) = Accuracy { correct: 0, total: 100 }.wilson95().unwrap();
        assert_eq!(low, 0.0);
        assert!(high > 0.03 && high < 0.04, "{high}");
    }

    #[test]
    fn an_empty_evaluation_has_no_accuracy() {
        assert_eq!(Accuracy { correct: 0, total: 0 }.fraction(), None);
    }
}
