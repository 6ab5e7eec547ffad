//! How long commits take, and how many changes they hold: whether the disk keeps up.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter};

use crate::writer::BATCH;

/// Upper bounds in seconds, around the milliseconds of a disk's flush.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 1.0, 4.0];

/// Upper bounds in changes.
const CHANGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, BATCH as f64];

/// The writer's transactions since the store was opened. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Commits {
    seconds: Histogram,
    changes: Histogram,
    failed: IntCounter,
}

impl Commits {
    pub(crate) fn new() -> Self {
        let histogram = |name, help, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            Histogram::with_opts(options).expect("name and bounds are valid")
        };
        let failed = IntCounter::new("rrm_store_failed_commits_total", "Transactions of which nothing was stored.");
        Self {
            seconds: histogram(
                "rrm_store_commit_seconds",
                "Time of the writer's transactions, the disk's flush included.",
                &SECONDS,
            ),
            changes: histogram("rrm_store_commit_changes", "Changes that the writer committed together.", &CHANGES),
            failed: failed.expect("the name is valid"),
        }
    }

    /// A transaction has ended.
    pub(crate) fn observe(&self, took: Duration, changes: usize, is_stored: bool) {
        match is_stored {
            true => {
                self.seconds.observe(took.as_secs_f64());
                self.changes.observe(changes as f64);
            }
            false => self.failed.inc(),
        }
    }

    /// The counts as Prometheus has them.
    pub fn collect(&self) -> Vec<MetricFamily> {
        [self.seconds.collect(), self.changes.collect(), self.failed.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_counts_once_and_a_failed_one_apart() {
        let commits = Commits::new();
        commits.observe(Duration::from_millis(3), 7, true);
        commits.observe(Duration::from_millis(3), 5, false);
        assert_eq!((commits.seconds.get_sample_count(), commits.changes.get_sample_sum()), (1, 7.0));
        assert_eq!(commits.failed.get(), 1);
    }
}
