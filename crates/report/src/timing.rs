//! Epoch times: mean, spread and interval (digest §5).

use serde::Serialize;

use crate::SampleMean;

/// Times of a network's epochs, in microseconds: the training loop alone, data loading in, validation and checkpoint out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochTime {
    /// Epochs timed.
    pub n: usize,
    /// Their mean.
    pub mean_us: f64,
    /// Their sample standard deviation (n − 1); absent for a single epoch.
    pub std_us: Option<f64>,
    /// Half the width of the 95 % Student-t interval of the mean; absent for a single epoch.
    pub half_width_us: Option<f64>,
}

impl EpochTime {
    /// Summary of `times_us`; `None` of no epochs.
    pub fn of(times_us: &[u64]) -> Option<Self> {
        let times_us: Vec<f64> = times_us.iter().map(|&time| time as f64).collect();
        let SampleMean { n, mean: mean_us, std: std_us, half_width: half_width_us } = SampleMean::of(&times_us)?;
        Some(Self { n, mean_us, std_us, half_width_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_five_epochs_is_the_one_computed_by_hand() {
        // 10, 12, 14, 16, 18 s: mean 14, sample variance (16+4+0+4+16)/4 = 10, t(0.975, 4) = 2.776,
        // half-width 2.776·√10/√5 = 3.926.
        let time = EpochTime::of(&[10_000_000, 12_000_000, 14_000_000, 16_000_000, 18_000_000]).unwrap();
        assert_eq!((time.n, time.mean_us), (5, 14_000_000.0));
        assert!((time.std_us.unwrap() - 10f64.sqrt() * 1e6).abs() < 1e-3);
        assert!((time.half_width_us.unwrap() - 3.926e6).abs() < 1e3, "{time:?}");
    }

    #[test]
    fn a_single_epoch_has_a_mean_but_no_interval() {
        let time = EpochTime::of(&[7]).unwrap();
        assert_eq!((time.mean_us, time.std_us, time.half_width_us), (7.0, None, None));
        assert_eq!(EpochTime::of(&[]), None);
    }
}
