//! How long calls took.

use std::time::Duration;

/// Every single one, sorted.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn new(mut taken: Vec<Duration>) -> Self {
        taken.sort();
        Self(taken)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest that at least this share of all does not exceed, in milliseconds.
    ///
    /// # Panics
    /// When there are none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let place = (share * self.0.len() as f64).ceil() as usize;
        self.0[place.clamp(1, self.0.len()) - 1].as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let taken = Latencies::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| taken.quantile(share)), [1.0, 100.0, 198.0, 200.0]);
        assert_eq!(taken.count(), 200);
    }
}
