//! From what a trainer said and how it ended to how its attempt ended.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use nix::sys::signal::Signal;
use rrm_api::AttemptEnd;
use rrm_spec::{AttemptOutcome, FailureClass, JobSpec, TimeLimit};

/// What a trainer says last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// The job is complete.
    Finished,
    /// It stopped when told to.
    Stopped,
    /// The job failed.
    Failed(FailureClass, String),
}

/// Whether a trainer was told to end before it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Whatever happened was its own doing.
    Nothing,
    /// By a signal, perhaps one that it could not catch.
    ToEnd,
    /// Since it had run for as long as its job may.
    TimeIsUp(TimeLimit),
}

/// How an attempt ended. A trainer's last word counts more than how its process ended after it.
///
/// `holds` says what is left for another one to go on from, as [`what_holds`] does.
pub(crate) fn end_of(
    word: Option<LastWord>,
    status: ExitStatus,
    told: Told,
    log_tail: &str,
    holds: &str,
) -> AttemptEnd {
    let (outcome, message) = match (word, told) {
        (Some(LastWord::Finished), _) => (AttemptOutcome::Ok, None),
        (Some(LastWord::Failed(class, message)), _) => (outcome_of(class), Some(message)),
        (Some(LastWord::Stopped) | None, Told::TimeIsUp(limit)) => {
            (AttemptOutcome::Timeout, Some(format!("ran longer than its time limit of {limit}; {holds}")))
        }
        (Some(LastWord::Stopped), Told::Nothing | Told::ToEnd) => (AttemptOutcome::Stopped, None),
        (None, Told::ToEnd) => {
            (AttemptOutcome::Stopped, Some(format!("told to stop, it ended without a word; {holds}")))
        }
        (None, Told::Nothing) if status.code() == Some(i32::from(crate::cli::USAGE)) => {
            (AttemptOutcome::WorkerError, Some(with_tail("the trainer refused the job", log_tail)))
        }
        (None, Told::Nothing) => (AttemptOutcome::Crashed, Some(with_tail(&describe(status), log_tail))),
    };
    AttemptEnd { outcome, message, exit_code: status.code(), signal: status.signal() }
}

/// What another attempt goes on from: the newest checkpoint, by its epoch, or by its number where the job has no epochs.
pub(crate) fn what_holds(spec: &JobSpec, checkpoint: Option<u32>) -> String {
    match (checkpoint, spec) {
        (None, _) => "no checkpoint was made".to_owned(),
        (Some(epoch), JobSpec::Train(_) | JobSpec::Synthesize(_)) => format!("its checkpoint of epoch {epoch} holds"),
        (Some(number), JobSpec::Evaluate(_)) => format!("its checkpoint number {number} holds"),
    }
}

/// An end without a trainer that ended: this machine could not even run one, or not report what it did.
pub(crate) fn end_by(outcome: AttemptOutcome, message: impl Into<String>) -> AttemptEnd {
    AttemptEnd { outcome, message: Some(message.into()), exit_code: None, signal: None }
}

fn outcome_of(class: FailureClass) -> AttemptOutcome {
    match class {
        FailureClass::User | FailureClass::Diverged => AttemptOutcome::UserError,
        FailureClass::OutOfMemory => AttemptOutcome::Oom,
        FailureClass::Machine => AttemptOutcome::WorkerError,
    }
}

fn describe(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return format!("the trainer ended without a word, with exit code {}", status.code().unwrap_or_default());
    };
    let name = Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
    let hint = match number {
        nix::libc::SIGKILL => " (by the system, if its memory ran out, or by somebody)",
        _ => "",
    };
    format!("the trainer was ended by {name}{hint}")
}

fn with_tail(what: &str, log_tail: &str) -> String {
    match log_tail.trim_end() {
        "" => what.to_owned(),
        tail => format!("{what}; its log ends with:\n{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn signalled(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    fn outcome(word: Option<LastWord>, status: ExitStatus, told: Told) -> AttemptOutcome {
        end_of(word, status, told, "", "").outcome
    }

    #[test]
    fn a_last_word_decides() {
        let failed = |class| Some(LastWord::Failed(class, "why".into()));
        let cases = [
            (Some(LastWord::Finished), AttemptOutcome::Ok),
            (Some(LastWord::Stopped), AttemptOutcome::Stopped),
            (failed(FailureClass::User), AttemptOutcome::UserError),
            (failed(FailureClass::Diverged), AttemptOutcome::UserError),
            (failed(FailureClass::OutOfMemory), AttemptOutcome::Oom),
            (failed(FailureClass::Machine), AttemptOutcome::WorkerError),
        ];
        for (word, expected) in cases {
            // Also where the process stumbles over its own end.
            for status in [exited(0), exited(1), signalled(11)] {
                assert_eq!(outcome(word.clone(), status, Told::Nothing), expected, "{word:?} {status:?}");
            }
        }
    }

    #[test]
    fn without_a_word_it_crashed() {
        assert_eq!(outcome(None, exited(0), Told::Nothing), AttemptOutcome::Crashed);
        assert_eq!(outcome(None, exited(101), Told::Nothing), AttemptOutcome::Crashed);
        assert_eq!(outcome(None, signalled(9), Told::Nothing), AttemptOutcome::Crashed);
    }

    #[test]
    fn who_was_told_to_end_is_not_blamed_for_it() {
        assert_eq!(outcome(None, signalled(9), Told::ToEnd), AttemptOutcome::Stopped);
    }

    #[test]
    fn a_checkpoint_is_said_to_hold_only_where_there_is_one() {
        let spec = crate::testing::assignment().spec;
        assert_eq!(what_holds(&spec, None), "no checkpoint was made");
        assert_eq!(what_holds(&spec, Some(3)), "its checkpoint of epoch 3 holds");
        let end = end_of(None, signalled(9), Told::ToEnd, "", &what_holds(&spec, Some(3)));
        assert!(end.message.unwrap().ends_with("; its checkpoint of epoch 3 holds"));
    }

    #[test]
    fn a_trainer_that_is_done_when_its_time_is_up_is_done_and_any_other_has_run_out_of_time() {
        let limit = TimeLimit::from_seconds(90).unwrap();
        let ended = |word, status| end_of(word, status, Told::TimeIsUp(limit), "", "no checkpoint was made");
        assert_eq!(ended(Some(LastWord::Finished), exited(0)).outcome, AttemptOutcome::Ok);
        for (word, status) in [(Some(LastWord::Stopped), exited(3)), (None, signalled(9)), (None, exited(0))] {
            let end = ended(word, status);
            assert_eq!(end.outcome, AttemptOutcome::Timeout);
            assert!(end.message.unwrap().contains("time limit of 1m 30s; no checkpoint was made"));
        }
    }

    #[test]
    fn a_crash_tells_signal_and_log() {
        let end = end_of(None, signalled(9), Told::Nothing, "loading\nthread main panicked\n", "");
        let message = end.message.unwrap();
        assert!(
            message.contains("SIGKILL") && message.contains("memory") && message.ends_with("panicked"),
            "{message}"
        );
        assert_eq!((end.exit_code, end.signal), (None, Some(9)));
    }

    #[test]
    fn a_refused_job_is_the_workers_fault_since_the_daemon_found_it_valid() {
        let end = end_of(None, exited(64), Told::Nothing, "", "");
        assert_eq!((end.outcome, end.exit_code), (AttemptOutcome::WorkerError, Some(64)));
    }
}
