//! Means of few values, with their interval.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::student_t::quantile95;

/// The mean of a sample, such as of one network's accuracy over seeds. In the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SampleMean {
    /// Values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation (n − 1); absent for a single value.
    pub std: Option<f64>,
    /// Half the width of the 95 % Student-t interval of the mean; absent for a single value.
    pub half_width: Option<f64>,
}

impl SampleMean {
    /// Summary of `values`; `None` of no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = NonZeroUsize::new(values.len())?.get();
        let mean = values.iter().sum::<f64>() / n as f64;
        let std = NonZeroUsize::new(n - 1).map(|degrees| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / degrees.get() as f64).sqrt()
        });
        let degrees = NonZeroUsize::new(n - 1);
        let half_width = degrees.zip(std).map(|(degrees, std)| quantile95(degrees) * std / (n as f64).sqrt());
        Some(Self { n, mean, std, half_width })
    }

    /// The same in a unit that is `factor` times smaller.
    pub fn scaled(self, factor: f64) -> Self {
        let times = |value: f64| value * factor;
        Self { n: self.n, mean: times(self.mean), std: self.std.map(times), half_width: self.half_width.map(times) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    #[test]
    fn interval_over_three_seeds_is_scipys() {
        // SciPy 1.17: numpy.std(values, ddof=1), and half of scipy.stats.t.interval(0.95, 2, loc=mean, scale=scipy.stats.sem(values)).
        let mean = SampleMean::of(&[76.17, 76.81, 75.92]).unwrap();
        assert!((mean.mean - 76.3).abs() < 1e-12, "{mean:?}");
        assert!((mean.std.unwrap() - 0.459_020_696_701_140_4).abs() < 1e-12, "{mean:?}");
        assert!((mean.half_width.unwrap() - 1.140_270_623_149_206).abs() < 1e-9, "{mean:?}");
    }

    #[test]
    fn a_single_seed_has_no_interval() {
        assert_eq!(SampleMean::of(&[0.5]), Some(SampleMean { n: 1, mean: 0.5, std: None, half_width: None }));
        assert_eq!(SampleMean::of(&[]), None);
    }

    proptest! {
        /// Shifting a sample shifts its mean and leaves its spread; scaling scales both.
        #[test]
        fn mean_and_interval_follow_the_unit(values in prop::collection::vec(-1e3..1e3_f64, 2..20), shift in -1e3..1e3_f64) {
            let mean = SampleMean::of(&values).unwrap();
            let shifted = SampleMean::of(&values.iter().map(|value| value + shift).collect::<Vec<_>>()).unwrap();
            prop_assert!((shifted.mean - mean.mean - shift).abs() < 1e-9);
            prop_assert!((shifted.half_width.unwrap() - mean.half_width.unwrap()).abs() < 1e-8);
            let minutes = SampleMean::of(&values.iter().map(|value| value / 60.0).collect::<Vec<_>>()).unwrap();
            prop_assert!((minutes.half_width.unwrap() - mean.scaled(1.0 / 60.0).half_width.unwrap()).abs() < 1e-9);
        }
    }
}
