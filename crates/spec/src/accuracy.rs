//! Accuracies as counts: percentages neither add nor re-aggregate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ImageOutcome, Outcome};

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

/// How the images of one class were classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassAccuracy {
    /// The class.
    pub label: u32,
    /// Accuracy on its natural images.
    pub natural: Accuracy,
    /// Its images that are classified correctly whatever the attack did.
    pub robust: Accuracy,
}

impl ClassAccuracy {
    /// Counts of each class that has images, by label.
    pub fn of(outcomes: &[ImageOutcome]) -> Vec<Self> {
        let mut counts: BTreeMap<u32, [u64; 3]> = BTreeMap::new();
        for image in outcomes {
            let [total, natural, robust] = counts.entry(image.label).or_default();
            *total += 1;
            *natural += u64::from(image.outcome != Outcome::Misclassified);
            *robust += u64::from(image.outcome == Outcome::Robust);
        }
        let class = |(label, [total, natural, robust]): (u32, [u64; 3])| Self {
            label,
            natural: Accuracy { correct: natural, total },
            robust: Accuracy { correct: robust, total },
        };
        counts.into_iter().map(class).collect()
    }
}

/// The mean of the classes' accuracies (natural, robust) as fractions: a network that always says the most frequent
/// class gets 1 out of the number of classes. `None` where it says nothing new, since no class has more than twice as
/// many images as another.
pub fn balanced(classes: &[ClassAccuracy]) -> Option<(f64, f64)> {
    let totals = || classes.iter().map(|class| class.natural.total);
    if totals().max()? <= 2 * totals().min()? {
        return None;
    }
    let mean = |of: fn(&ClassAccuracy) -> Accuracy| {
        Some(classes.iter().map(|class| of(class).fraction()).sum::<Option<f64>>()? / classes.len() as f64)
    };
    mean(|class| class.natural).zip(mean(|class| class.robust))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(images: &[(u32, Outcome)]) -> Vec<ClassAccuracy> {
        let image = |&(label, outcome)| ImageOutcome { image: 0, label, prediction: 0, outcome, closest: None };
        ClassAccuracy::of(&images.iter().map(image).collect::<Vec<_>>())
    }

    #[test]
    fn a_network_that_always_says_dog_is_right_about_one_class() {
        let dog = (0, Outcome::Broken { restart: 0 });
        let classes = outcomes(&[dog, dog, dog, (0, Outcome::Robust), (1, Outcome::Misclassified)]);
        assert_eq!(classes[0].natural, Accuracy { correct: 4, total: 4 });
        assert_eq!(classes[0].robust, Accuracy { correct: 1, total: 4 });
        assert_eq!(balanced(&classes), Some((0.5, 0.125)));
    }

    #[test]
    fn classes_of_like_size_need_no_balance() {
        let (right, wrong) = (Outcome::Robust, Outcome::Misclassified);
        assert_eq!(balanced(&outcomes(&[(0, right), (0, wrong), (1, right)])), None);
        assert_eq!(balanced(&outcomes(&[])), None);
    }

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
