//! Whether a device is fit for work, as far as the ends of its attempts tell.
//!
//! A sick device or a missing dataset fails every job within seconds, and so would eat a whole queue.

use crate::{AttemptOutcome, JobId};

/// So many different jobs that fail at once on a device, with no success in between, are taken for the device's fault.
pub const SICK_AFTER: usize = 3;

/// What fails later than this has at least worked for a while.
const AT_ONCE_US: i64 = 60_000_000;

/// A job that was killed from outside or for the machine's memory tells nothing of the device.
const SIGKILL: i32 = 9;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Went {
    /// The kind of end.
    pub outcome: AttemptOutcome,
    /// From lease to end, in microseconds.
    pub lasted_us: i64,
    /// The signal that ended its trainer.
    pub signal: Option<i32>,
    /// Whether the job has failed at once on another device, too: then it is the job.
    pub failed_elsewhere: bool,
}

/// What an end tells of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It works.
    Sound,
    /// It may be sick.
    Suspect,
    /// Nothing.
    None,
}

impl Went {
    /// Whether the attempt failed as on a sick device.
    pub fn failed_at_once(&self) -> bool {
        self.may_be_the_machines_fault() && self.lasted_us < AT_ONCE_US && self.signal != Some(SIGKILL)
    }

    /// What this end tells of the device.
    pub fn sign(&self) -> Sign {
        match self.outcome {
            AttemptOutcome::Ok => Sign::Sound,
            _ if !self.may_be_the_machines_fault() => Sign::None,
            _ if self.lasted_us >= AT_ONCE_US => Sign::Sound,
            _ if self.failed_at_once() && !self.failed_elsewhere => Sign::Suspect,
            _ => Sign::None,
        }
    }

    fn may_be_the_machines_fault(&self) -> bool {
        match self.outcome {
            AttemptOutcome::Oom | AttemptOutcome::Crashed | AttemptOutcome::WorkerError => true,
            // The job's own fault, somebody's wish, or nothing that was seen.
            AttemptOutcome::Ok
            | AttemptOutcome::UserError
            | AttemptOutcome::Stopped
            | AttemptOutcome::Lost
            | AttemptOutcome::Timeout => false,
        }
    }
}

/// Whether the device is to be taken out of service after these jobs, each named once, failed at once one after the other.
pub fn is_sick(failed: &[JobId]) -> bool {
    failed.len() >= SICK_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went(outcome: AttemptOutcome) -> Went {
        Went { outcome, lasted_us: 1_000_000, signal: None, failed_elsewhere: false }
    }

    #[test]
    fn errors_of_the_machine_at_once_are_suspect_and_others_are_not() {
        use AttemptOutcome::{Crashed, Lost, Ok, Oom, Stopped, UserError, WorkerError};
        for (outcomes, sign) in [
            (vec![Oom, Crashed, WorkerError], Sign::Suspect),
            (vec![UserError, Stopped, Lost], Sign::None),
            (vec![Ok], Sign::Sound),
        ] {
            assert!(outcomes.iter().all(|outcome| went(*outcome).sign() == sign), "{sign:?}");
        }
    }

    #[test]
    fn a_failure_after_long_work_shows_that_the_device_works() {
        assert_eq!(Went { lasted_us: AT_ONCE_US, ..went(AttemptOutcome::Crashed) }.sign(), Sign::Sound);
    }

    #[test]
    fn who_was_killed_or_fails_everywhere_tells_nothing_of_the_device() {
        assert_eq!(Went { signal: Some(9), ..went(AttemptOutcome::Crashed) }.sign(), Sign::None);
        assert_eq!(Went { signal: Some(11), ..went(AttemptOutcome::Crashed) }.sign(), Sign::Suspect);
        assert_eq!(Went { failed_elsewhere: true, ..went(AttemptOutcome::Oom) }.sign(), Sign::None);
    }

    #[test]
    fn three_jobs_are_needed() {
        assert!(!is_sick(&[JobId(1), JobId(2)]));
        assert!(is_sick(&[JobId(1), JobId(2), JobId(3)]));
    }
}
