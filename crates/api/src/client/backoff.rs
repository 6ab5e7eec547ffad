//! Waiting between tries.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3);

/// Delays that double up to a limit.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next delay, scaled by 0.5 to 1.5 by `random` so that clients that failed together do not return together.
    pub(super) fn next_delay(&mut self, random: u64) -> Duration {
        let jitter = 0.5 + random as f64 / u64::MAX as f64;
        let delay = self.next.mul_f64(jitter);
        self.next = (self.next * 2).min(LONGEST);
        delay
    }
}

/// A number that differs between processes and calls; the standard library's hash keys are random.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..12).map(|_| backoff.next_delay(u64::MAX / 2)).collect();
        let near = |a: Duration, b: Duration| a.abs_diff(b) < Duration::from_millis(1);
        assert!(near(delays[0], FIRST) && near(delays[1], FIRST * 2), "{delays:?}");
        assert!(near(delays[11], LONGEST), "{delays:?}");
    }

    #[test]
    fn jitter_stays_between_half_and_one_and_a_half() {
        let ends = [0, u64::MAX].map(|random| Backoff::new().next_delay(random));
        assert_eq!(ends, [FIRST / 2, FIRST * 3 / 2]);
    }
}
