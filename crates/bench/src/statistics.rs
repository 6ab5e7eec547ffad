//! Medians and ratios of times that were taken in turns.

use serde::{Deserialize, Serialize};

/// The middle of `values`; the mean of the two in the middle where they are even in number.
///
/// # Panics
/// When there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// How many times as long one takes as the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Of the medians.
    pub value: f64,
    /// The lowest of any round.
    pub low: f64,
    /// The highest of any round.
    pub high: f64,
}

impl Ratio {
    /// `theirs` over `ours`, which were taken in the same rounds.
    ///
    /// # Panics
    /// When there are no rounds.
    pub fn of(theirs: &[f64], ours: &[f64]) -> Self {
        let rounds = || theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours);
        Self {
            value: median(theirs) / median(ours),
            low: rounds().fold(f64::INFINITY, f64::min),
            high: rounds().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 5.0, 2.0]), 3.5);
        assert_eq!(median(&[4.0]), 4.0);
    }

    #[test]
    fn a_ratio_is_of_medians_and_its_spread_of_rounds() {
        let ratio = Ratio::of(&[20.0, 30.0, 22.0], &[10.0, 10.0, 20.0]);
        assert_eq!(ratio, Ratio { value: 2.2, low: 1.1, high: 3.0 });
    }
}
