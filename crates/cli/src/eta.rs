//! When a job will be done.

use std::time::Duration;

use rrm_spec::Progress;

/// Estimates from what has been seen of a job's progress. A jump backwards, as after a lost attempt, starts afresh.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Eta {
    first: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Duration,
    done: u64,
    newest: u64,
}

impl Eta {
    /// Takes in where the job stands at `now`, by any steady clock; how long it will take from there.
    ///
    /// `None` until it has moved.
    pub(crate) fn observe(&mut self, now: Duration, progress: &Progress) -> Option<Duration> {
        let fresh = Seen { at: now, done: progress.done, newest: progress.done };
        let first = match self.first {
            Some(first) if progress.done >= first.newest => Seen { newest: progress.done, ..first },
            Some(_) | None => fresh,
        };
        self.first = Some(first);
        remaining(now.saturating_sub(first.at), progress.done - first.done, progress)
    }
}

/// How long it will take, if `worked` units took `elapsed`.
pub(crate) fn remaining(elapsed: Duration, worked: u64, progress: &Progress) -> Option<Duration> {
    let left = progress.total.saturating_sub(progress.done);
    let seconds = elapsed.as_secs_f64() * left as f64 / worked as f64;
    (worked > 0 && !elapsed.is_zero()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64) -> Progress {
        Progress { phase: "epoch 1/2".into(), done, total: 100, images_per_second: 1.0 }
    }

    #[test]
    fn the_rest_takes_as_long_as_what_was_seen() {
        let mut eta = Eta::default();
        let mut at = |second, done| eta.observe(Duration::from_secs(second), &progress(done));
        assert_eq!(at(10, 20), None);
        // 20 units in 5 s; 60 units are left.
        assert_eq!(at(15, 40), Some(Duration::from_secs(15)));
        assert_eq!(at(30, 100), Some(Duration::ZERO));
    }

    #[test]
    fn a_new_attempt_starts_the_estimate_afresh() {
        let mut eta = Eta::default();
        eta.observe(Duration::from_secs(0), &progress(10));
        eta.observe(Duration::from_secs(10), &progress(50));
        assert_eq!(eta.observe(Duration::from_secs(20), &progress(30)), None);
        assert_eq!(eta.observe(Duration::from_secs(30), &progress(40)), Some(Duration::from_secs(60)));
    }
}
