//! McNemar's test: do two networks differ on the same images?

use rrm_spec::{ImageOutcome, Outcome};
use serde::Serialize;

/// Images that only one of two networks gets right, and how likely so uneven a split is if neither is better.
///
/// Given how many images the two disagree on, each falls to either with probability ½ (McNemar 1947). The test is exact: no normal
/// approximation. It treats images as the sample, and says nothing of other seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Images that only the first network gets right.
    pub only_first: u64,
    /// Images that only the second one gets right.
    pub only_second: u64,
    /// The two-sided exact probability of a split at least so uneven, in 0..=1.
    pub p: f64,
    /// The same with the observed split counting half (mid-p; Fagerland, Lydersen & Laake 2013): less conservative.
    pub mid_p: f64,
}

impl McNemar {
    /// The test on a split of the images on which two networks disagree.
    pub fn of_counts(only_first: u64, only_second: u64) -> Self {
        let (fewer, disagreed) = (only_first.min(only_second), only_first + only_second);
        let at_fewer = ln_probability(disagreed, fewer).exp();
        let up_to_fewer = at_fewer * tail_ratio(disagreed, fewer);
        // An even split is the middle of the distribution, and would be counted from both sides.
        let p = (2.0 * up_to_fewer).min(1.0);
        let mid_p = (2.0 * up_to_fewer - at_fewer).clamp(0.0, 1.0);
        Self { only_first, only_second, p, mid_p }
    }

    /// The test on outcomes of the same images, of which `right` says which count; `None` where the images are not the same.
    pub fn of_outcomes(
        first: &[ImageOutcome],
        second: &[ImageOutcome],
        right: impl Fn(Outcome) -> bool,
    ) -> Option<Self> {
        let sorted = |outcomes: &[ImageOutcome]| {
            let mut outcomes = outcomes.to_vec();
            outcomes.sort_by_key(|outcome| outcome.image);
            outcomes
        };
        let (first, second) = (sorted(first), sorted(second));
        let key = |outcome: &ImageOutcome| (outcome.image, outcome.label);
        if first.is_empty() || !first.iter().map(key).eq(second.iter().map(key)) {
            return None;
        }
        let split = |one: bool, other: bool| {
            let pairs = first.iter().zip(&second);
            pairs.filter(|(a, b)| right(a.outcome) == one && right(b.outcome) == other).count() as u64
        };
        Some(Self::of_counts(split(true, false), split(false, true)))
    }
}

/// ln P(X = k) of n fair coins.
fn ln_probability(n: u64, k: u64) -> f64 {
    // (n over k) = Π (n − k + i)/i
    let ways: f64 = (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum();
    ways - n as f64 * std::f64::consts::LN_2
}

/// P(X ≤ k) / P(X = k) of n fair coins, for k ≤ n/2: a sum of falling terms.
fn tail_ratio(n: u64, k: u64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for smaller in (0..k).rev() {
        // P(X = smaller) / P(X = smaller + 1)
        term *= (smaller + 1) as f64 / (n - smaller) as f64;
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn exact_and_mid_p_are_scipys() {
        // SciPy 1.17, with m = min(b, c) and n = b + c. p: scipy.stats.binomtest(m, n, 0.5).pvalue, with which statsmodels' mcnemar(…,
        // exact=True) agrees; mid-p: 2·scipy.stats.binom.cdf(m, n, 0.5) − scipy.stats.binom.pmf(m, n, 0.5).
        let scipys = [
            (0, 5, 0.0625, 0.03125),
            (3, 0, 0.25, 0.125),
            (1, 9, 0.021_484_375, 0.011_718_75),
            (6, 6, 1.0, 1.0),
            (10, 25, 0.016_673_847_800_120_715, 0.011_330_984_183_587_134),
            (121, 59, 4.434_449_263_755_164_5e-6, 3.266_646_795_774_573_3e-6),
            (420, 512, 0.002_855_193_063_074_266, 0.002_577_226_382_435_143),
            (1500, 1200, 8.412_086_328_628_609e-9, 7.549_691_966_763_477e-9),
            (5000, 4700, 0.002_396_603_362_577_652_6, 0.002_318_321_480_534_690_5),
        ];
        for (first, second, p, mid_p) in scipys {
            let test = McNemar::of_counts(first, second);
            let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * expected;
            assert!(close(test.p, p) && close(test.mid_p, mid_p), "{test:?} is not {p}, {mid_p}");
        }
    }

    #[test]
    fn networks_that_agree_on_every_image_do_not_differ() {
        assert_eq!(McNemar::of_counts(0, 0), McNemar { only_first: 0, only_second: 0, p: 1.0, mid_p: 1.0 });
    }

    fn outcome(image: u32, outcome: Outcome) -> ImageOutcome {
        ImageOutcome { image, label: image % 10, prediction: 0, outcome, closest: None }
    }

    #[test]
    fn images_are_paired_by_their_position_and_not_by_their_order() {
        let (robust, wrong, broken) = (Outcome::Robust, Outcome::Misclassified, Outcome::Broken { restart: 1 });
        let first = [outcome(0, robust), outcome(1, robust), outcome(2, broken), outcome(3, wrong)];
        let second = [outcome(3, robust), outcome(2, broken), outcome(1, wrong), outcome(0, broken)];
        let counts = |right: fn(Outcome) -> bool| {
            let test = McNemar::of_outcomes(&first, &second, right).unwrap();
            (test.only_first, test.only_second)
        };
        assert_eq!(counts(|outcome| outcome == Outcome::Robust), (2, 1));
        assert_eq!(counts(|outcome| outcome != Outcome::Misclassified), (1, 1));
    }

    #[test]
    fn outcomes_of_other_images_are_not_compared() {
        let right = |outcome| outcome == Outcome::Robust;
        let first = [outcome(0, Outcome::Robust), outcome(1, Outcome::Robust)];
        assert_eq!(McNemar::of_outcomes(&first, &first[..1], right), None);
        let other = [outcome(0, Outcome::Robust), ImageOutcome { label: 7, ..outcome(1, Outcome::Robust) }];
        assert_eq!(McNemar::of_outcomes(&first, &other, right), None);
        assert_eq!(McNemar::of_outcomes(&[], &[], right), None);
    }

    proptest! {
        /// Whichever network is called the first, the verdict is the same; mid-p is never above p, and both are probabilities.
        #[test]
        fn the_test_is_symmetric_and_gives_probabilities(first in 0_u64..20_000, second in 0_u64..20_000) {
            let (test, mirrored) = (McNemar::of_counts(first, second), McNemar::of_counts(second, first));
            prop_assert!(test.p == mirrored.p && test.mid_p == mirrored.mid_p);
            prop_assert!((0.0..=1.0).contains(&test.p) && (0.0..=test.p).contains(&test.mid_p), "{test:?}");
        }

        /// The more uneven the split, the less likely it is.
        #[test]
        fn a_more_uneven_split_has_a_smaller_p(fewer in 1_u64..200, more in 0_u64..200) {
            let even = McNemar::of_counts(fewer, fewer + more);
            prop_assert!(McNemar::of_counts(fewer - 1, fewer + more + 1).p <= even.p);
        }
    }
}
