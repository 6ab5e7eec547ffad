//! How a command ends: documented exit codes, and errors that say what, why and what next.

use std::{fmt, io, path::Path};

use rrm_api::ApiError;
use rrm_data::DataError;
use rrm_report::ReportError;
use rrm_spec::{JobState, Violations};

/// A process's exit code. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; every job succeeded.
    Done = 0,
    /// A job failed or was skipped, or something else went wrong.
    Failed = 1,
    /// Wrong usage, or an invalid plan.
    Invalid = 2,
    /// No such job, plan, file or dataset.
    NotFound = 3,
    /// A job was cancelled.
    Cancelled = 4,
    /// The time limit ran out.
    TimedOut = 5,
    /// The server did not answer.
    Unreachable = 6,
    /// No valid token, one of the wrong role, or another user's jobs.
    Forbidden = 7,
    /// The request contradicts what is stored, or the state does not allow it.
    Conflict = 8,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl Exit {
    /// What jobs that have ended in these states mean together: failure weighs most, then cancellation.
    pub(crate) fn of_jobs(states: impl Iterator<Item = JobState> + Clone) -> Self {
        let any = |state| states.clone().any(|other| other == state);
        if any(JobState::Failed) {
            Self::Failed
        } else if any(JobState::Cancelled) {
            Self::Cancelled
        } else if any(JobState::Skipped) {
            Self::Failed
        } else {
            Self::Done
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was attempted, and why it failed.
    what: String,
    /// What the user can do.
    next: Option<String>,
    /// Faults of the input, one by one.
    violations: Option<Violations>,
    exit: Exit,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { what: what.into(), next: None, violations: None, exit }
    }

    /// Adds what the user can do.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Says first what was attempted.
    pub(crate) fn context(mut self, attempt: impl fmt::Display) -> Self {
        self.what = format!("{attempt}: {}", self.what);
        self
    }

    pub(crate) fn invalid(attempt: impl fmt::Display, violations: Violations) -> Self {
        let failure = Self::new(Exit::Invalid, format!("{attempt}: {violations}"));
        let next = "correct the named fields; nothing was submitted";
        Self { violations: Some(violations), ..failure.next(next) }
    }

    /// A file of the user's that could not be used.
    pub(crate) fn file(attempt: &str, path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Self::new(exit, format!("{attempt} {}: {error}", path.display()))
            .next("check the path, its permissions and its disk")
    }

    /// A file of the user's that could not be read as the text that it should be.
    pub(crate) fn text_file(attempt: &str, path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory => {
                Self::new(Exit::Invalid, format!("{attempt} {}: {error}", path.display()))
                    .next("name a file of text in UTF-8")
            }
            _ => Self::file(attempt, path, error),
        }
    }

    /// Standard output could not be written.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        // A reader that has seen enough, such as `head`, is no failure.
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed };
        Self::new(exit, format!("write to standard output: {error}"))
    }

    /// What was attempted, and why it failed.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What the user can do.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the server may answer when asked again.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.exit == Exit::Unreachable
    }

    /// The failure as a JSON document.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let violations = self.violations.iter().flat_map(Violations::iter).map(|violation| {
            let rrm_spec::Violation { field, value, allowed } = violation;
            serde_json::json!({"field": field, "value": value, "allowed": allowed})
        });
        serde_json::json!({
            "schema": 1,
            "error": {
                "what": self.what,
                "next": self.next,
                "exit_code": self.exit as u8,
                "violations": violations.collect::<Vec<_>>(),
            },
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.next {
            Some(next) => write!(f, "\nnext:  {next}"),
            None => Ok(()),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match &error {
            ApiError::Invalid(_) => Exit::Invalid,
            ApiError::NotFound { .. } => Exit::NotFound,
            ApiError::Conflict { .. }
            | ApiError::LeaseLost
            | ApiError::Precondition { .. }
            | ApiError::Exhausted { .. }
            | ApiError::TooLarge { .. }
            | ApiError::Version { .. } => Exit::Conflict,
            ApiError::Unauthenticated | ApiError::PermissionDenied { .. } | ApiError::NotOwner { .. } => {
                Exit::Forbidden
            }
            ApiError::Unavailable { .. } => Exit::Unreachable,
            ApiError::Internal { .. } => Exit::Failed,
        };
        let next = error.next_step();
        let failure = Self::new(exit, error.to_string()).next(next);
        match error {
            ApiError::Invalid(violations) => Self { violations: Some(violations), ..failure },
            _ => failure,
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let exit = match &error {
            DataError::NotFetched { .. } | DataError::NoFolder { .. } => Exit::NotFound,
            DataError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        let next = match &error {
            DataError::NotFetched { name, .. } => format!("rrm data fetch {name}"),
            DataError::Io { .. } => "check the path, its permissions and its disk".to_owned(),
            error if error.is_of_own_folder() => "put the named files and folders right".to_owned(),
            _ => "put the named file or folder right, or fetch the images again with `rrm data fetch`".to_owned(),
        };
        Self::new(exit, error.to_string()).next(next)
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::new(Exit::Failed, error.to_string()).next("see `rrm report --help` for what can be shown of which jobs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_daemon_have_the_documented_exit_codes() {
        let what = || "x".to_owned();
        let codes = [
            (ApiError::Invalid(Violations::one("a", "b", "c")), 2),
            (ApiError::NotFound { what: what() }, 3),
            (ApiError::Unavailable { what: what() }, 6),
            (ApiError::Unauthenticated, 7),
            (ApiError::PermissionDenied { what: what() }, 7),
            (ApiError::NotOwner { what: what() }, 7),
            (ApiError::Conflict { what: what() }, 8),
            (ApiError::Precondition { what: what() }, 8),
        ];
        for (error, code) in codes {
            let text = error.to_string();
            assert_eq!(Failure::from(error).exit() as u8, code, "{text}");
        }
    }

    #[test]
    fn a_failed_job_weighs_more_than_a_cancelled_one() {
        use JobState::{Cancelled, Failed, Skipped, Succeeded};
        let exit = |states: &[JobState]| Exit::of_jobs(states.iter().copied()) as u8;
        assert_eq!(exit(&[Succeeded, Succeeded]), 0);
        assert_eq!(exit(&[Succeeded, Cancelled, Skipped, Failed]), 1);
        assert_eq!(exit(&[Succeeded, Cancelled, Skipped]), 4);
        assert_eq!(exit(&[Succeeded, Skipped]), 1);
    }

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let failure = Failure::from(ApiError::Unauthenticated).context("list jobs");
        let text = failure.to_string();
        assert!(text.starts_with("error: list jobs: no valid token\nnext:  pass the file of a valid token"), "{text}");
    }

    #[test]
    fn whatever_fails_says_what_next_to_people_and_programs() {
        let what = || "job 12".to_owned();
        let errors = [
            ApiError::Invalid(Violations::one("a", "b", "c")),
            ApiError::NotFound { what: what() },
            ApiError::Conflict { what: what() },
            ApiError::LeaseLost,
            ApiError::Precondition { what: what() },
            ApiError::Exhausted { what: what() },
            ApiError::TooLarge { what: what() },
            ApiError::Unauthenticated,
            ApiError::PermissionDenied { what: what() },
            ApiError::NotOwner { what: what() },
            ApiError::Version { server: what(), client: what() },
            ApiError::Unavailable { what: what() },
            ApiError::Internal { what: what() },
        ];
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let path = Path::new("plan.toml").to_owned();
        let of_data = [
            DataError::NotFetched { name: "svhn".into(), folder: path.clone() },
            DataError::NoFolder { folder: path.clone() },
            DataError::Io { path: path.clone(), source: io() },
        ];
        let others = [Failure::file("read", &path, &io()), Failure::invalid("plan", Violations::one("a", "b", "c"))];
        let failures = errors.map(Failure::from).into_iter().chain(of_data.map(Failure::from)).chain(others);
        for failure in failures {
            let text = failure.to_string();
            let (what, next) = text.split_once("\nnext:  ").unwrap_or_else(|| panic!("no next step: {text}"));
            assert!(what.starts_with("error: ") && what.len() > 12 && next.len() > 12, "{text}");
            let error = &failure.to_json()["error"];
            assert!(error["what"].is_string() && error["next"].is_string(), "{error}");
        }
    }

    #[test]
    fn every_fault_of_a_plan_is_in_the_json_error() {
        let failure = Failure::invalid("read plan.toml", Violations::one("epochs", "0", "must be 1 or more"));
        let json = failure.to_json();
        assert_eq!((&json["schema"], &json["error"]["exit_code"]), (&1.into(), &2.into()));
        assert_eq!(json["error"]["violations"][0]["field"], "epochs");
    }
}
