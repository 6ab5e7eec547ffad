//! Whether this machine is fit for work, as far as the ends of its attempts tell.
//!
//! A sick device or a missing dataset fails every job within seconds, and so would eat a whole queue. Jobs that fail by
//! themselves are no sign of it.

use std::{collections::BTreeSet, time::Duration};

use nix::sys::signal::Signal;
use rrm_api::AttemptEnd;
use rrm_spec::{AttemptOutcome, JobId};

/// So many different jobs that fail at once, with no success in between, are taken for this machine's fault.
const LIMIT: usize = 3;

/// What fails later than this has at least worked for a while.
const AT_ONCE: Duration = Duration::from_secs(30);

/// How an attempt went.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) job: JobId,
    pub(crate) lasted: Duration,
    pub(crate) end: AttemptEnd,
}

/// What has been seen since the last success.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: BTreeSet<JobId>,
    last: String,
}

/// This machine fails one job after the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "jobs {jobs} failed here one after the other as soon as they began, the last one with: {last}; this worker takes no more \
     of them: mend that, then start it again"
)]
pub(crate) struct Unfit {
    jobs: String,
    last: String,
}

impl Health {
    /// Takes in how an attempt went.
    pub(crate) fn note(&mut self, went: &Went) {
        let Went { job, lasted, end } = went;
        match end.outcome {
            AttemptOutcome::WorkerError | AttemptOutcome::Crashed if *lasted < AT_ONCE && !was_killed(end) => {
                self.failed.insert(*job);
                self.last = end.message.clone().unwrap_or_default();
            }
            AttemptOutcome::Ok | AttemptOutcome::WorkerError | AttemptOutcome::Crashed => self.failed.clear(),
            // The job's own fault, or somebody's wish.
            AttemptOutcome::UserError
            | AttemptOutcome::Oom
            | AttemptOutcome::Stopped
            | AttemptOutcome::Lost
            | AttemptOutcome::Timeout => {}
        }
    }

    /// # Errors
    /// Where this machine had better take no more work.
    pub(crate) fn check(&self) -> Result<(), Unfit> {
        match self.failed.len() {
            0..LIMIT => Ok(()),
            _ => {
                let jobs: Vec<_> = self.failed.iter().map(ToString::to_string).collect();
                Err(Unfit { jobs: jobs.join(", "), last: self.last.clone() })
            }
        }
    }
}

/// By somebody, or for its memory.
fn was_killed(end: &AttemptEnd) -> bool {
    end.signal == Some(Signal::SIGKILL as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::end_by;

    fn went(job: i64, outcome: AttemptOutcome) -> Went {
        Went { job: JobId(job), lasted: Duration::from_secs(1), end: end_by(outcome, "no such device") }
    }

    fn after(attempts: &[Went]) -> Health {
        let mut health = Health::default();
        attempts.iter().for_each(|went| health.note(went));
        health
    }

    const FAILED: AttemptOutcome = AttemptOutcome::WorkerError;

    #[test]
    fn three_jobs_that_fail_at_once_make_a_machine_unfit_and_say_why() {
        let unfit = after(&[went(1, FAILED), went(2, AttemptOutcome::Crashed), went(3, FAILED)]).check().unwrap_err();
        assert!(unfit.to_string().contains("1, 2, 3") && unfit.to_string().contains("no such device"), "{unfit}");
    }

    #[test]
    fn one_job_that_fails_again_and_again_is_no_sign() {
        assert_eq!(after(&[1, 1, 1, 1].map(|job| went(job, FAILED))).check(), Ok(()));
    }

    #[test]
    fn a_success_or_a_failure_after_long_work_clears_a_machine() {
        let late = Went { lasted: AT_ONCE, ..went(3, FAILED) };
        for third in [went(3, AttemptOutcome::Ok), late] {
            let mut health = after(&[went(1, FAILED), went(2, FAILED), third]);
            health.note(&went(4, FAILED));
            assert_eq!(health.check(), Ok(()));
        }
    }

    #[test]
    fn who_was_killed_or_failed_by_himself_is_no_sign() {
        let mut killed = went(3, AttemptOutcome::Crashed);
        killed.end.signal = Some(9);
        for third in [killed, went(3, AttemptOutcome::UserError), went(3, AttemptOutcome::Stopped)] {
            assert_eq!(after(&[went(1, FAILED), went(2, FAILED), third]).check(), Ok(()));
        }
    }
}
