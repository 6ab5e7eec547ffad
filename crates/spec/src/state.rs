//! The state machine of jobs: one `match`, and what follows from an attempt's end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands. Terminal states are final: a retry is a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Some parent has not succeeded yet.
    Waiting,
    /// Ready for a worker.
    Queued,
    /// A worker holds its current attempt.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended at a user's wish.
    Cancelled,
    /// A parent ended without success.
    Skipped,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Skipped];

    /// Whether the state is never left.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Skipped)
    }

    /// The state's name in the database, the API and on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// The state with that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state after a transition.
    ///
    /// # Errors
    /// [`IllegalTransition`] for every pair that the table does not name.
    pub fn after(self, transition: Transition) -> Result<Self, IllegalTransition> {
        use JobState::{Cancelled, Failed, Queued, Running, Skipped, Succeeded, Waiting};
        match (self, transition) {
            (Waiting, Transition::Release) => Ok(Queued),
            (Waiting, Transition::Skip) => Ok(Skipped),
            (Queued, Transition::Lease) => Ok(Running),
            (Running, Transition::Succeed) => Ok(Succeeded),
            (Running, Transition::Requeue) => Ok(Queued),
            (Running, Transition::Fail) => Ok(Failed),
            (Waiting | Queued | Running, Transition::Cancel) => Ok(Cancelled),
            (state, transition) => Err(IllegalTransition { state, transition }),
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// The last parent succeeded.
    Release,
    /// A parent ended without success.
    Skip,
    /// A worker takes it.
    Lease,
    /// Its attempt succeeded.
    Succeed,
    /// Its attempt ended, and another is to be made.
    Requeue,
    /// Its attempt ended for good.
    Fail,
    /// A user's wish, carried out.
    Cancel,
}

impl Transition {
    /// Every transition.
    pub const ALL: [Self; 7] =
        [Self::Release, Self::Skip, Self::Lease, Self::Succeed, Self::Requeue, Self::Fail, Self::Cancel];
}

/// A transition that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {state} job cannot {transition:?}")]
pub struct IllegalTransition {
    /// Where the job stands.
    pub state: JobState,
    /// What was asked for.
    pub transition: Transition,
}

/// Why a running job is to stop; carried out when its attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// A user wants it to end as cancelled.
    Cancel,
    /// Its place is needed: it is to be queued again and to go on from its last checkpoint.
    Preempt,
    /// Its time limit has run out; kept with the failed job.
    Timeout,
}

impl Stop {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Preempt, Self::Timeout];

    /// The reason's name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Preempt => "preempt",
            Self::Timeout => "timeout",
        }
    }

    /// The reason with that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stop| stop.name() == name)
    }

    /// Of two wishes about one job the one that holds: a cancellation is never taken back.
    #[must_use]
    pub fn and(self, later: Option<Self>) -> Self {
        match (self, later) {
            (Self::Cancel, _) => Self::Cancel,
            (earlier, later) => later.unwrap_or(earlier),
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The job is complete.
    Ok,
    /// The spec or the data are at fault, or the training diverged.
    UserError,
    /// Device memory ran out.
    Oom,
    /// The trainer stopped when told to.
    Stopped,
    /// The trainer died without a word.
    Crashed,
    /// The worker died, or was silent for too long.
    Lost,
    /// The machine is at fault.
    WorkerError,
    /// It ran longer than the job's time limit.
    Timeout,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::UserError,
        Self::Oom,
        Self::Stopped,
        Self::Crashed,
        Self::Lost,
        Self::WorkerError,
        Self::Timeout,
    ];

    /// The outcome's name in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UserError => "user-error",
            Self::Oom => "oom",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
            Self::WorkerError => "worker-error",
            Self::Timeout => "timeout",
        }
    }

    /// The outcome with that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// How many more tries a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries after reported errors used so far.
    pub retries: u32,
    /// Allowed retries after reported errors.
    pub max_retries: u32,
    /// Unexplained losses so far.
    pub crashes: u32,
    /// Unexplained losses after which the job fails, so that a job that kills its worker cannot kill them all.
    pub crash_limit: u32,
}

/// What becomes of a job when its attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Ends as succeeded.
    Succeed,
    /// Ends as failed.
    Fail,
    /// Ends as cancelled.
    Cancel,
    /// Queued again, and nobody to blame.
    Requeue,
    /// Queued again, counted as a retry.
    Retry,
    /// Queued again, counted as a crash.
    Crash,
}

/// Decides what becomes of a job when its attempt ends.
///
/// An acknowledged cancellation means no later success (invariant I8), so it goes first. A preemption changes nothing: a
/// trainer that stopped when told to is queued again without blame whoever told it, and one that was done before it heard
/// of it is done.
pub fn disposition(outcome: AttemptOutcome, stop: Option<Stop>, budget: RetryBudget) -> Disposition {
    match stop {
        Some(Stop::Cancel) => Disposition::Cancel,
        None | Some(Stop::Preempt | Stop::Timeout) => disposition_by_outcome(outcome, budget),
    }
}

fn disposition_by_outcome(outcome: AttemptOutcome, budget: RetryBudget) -> Disposition {
    match outcome {
        AttemptOutcome::Ok => Disposition::Succeed,
        // The same would happen again.
        AttemptOutcome::UserError | AttemptOutcome::Timeout => Disposition::Fail,
        AttemptOutcome::Stopped => Disposition::Requeue,
        AttemptOutcome::Crashed | AttemptOutcome::Lost if budget.crashes + 1 < budget.crash_limit => Disposition::Crash,
        AttemptOutcome::Crashed | AttemptOutcome::Lost => Disposition::Fail,
        AttemptOutcome::Oom | AttemptOutcome::WorkerError if budget.retries < budget.max_retries => Disposition::Retry,
        AttemptOutcome::Oom | AttemptOutcome::WorkerError => Disposition::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: RetryBudget = RetryBudget { retries: 0, max_retries: 1, crashes: 0, crash_limit: 3 };

    #[test]
    fn exactly_the_named_transitions_are_legal() {
        use JobState::{Cancelled, Failed, Queued, Running, Skipped, Succeeded, Waiting};
        let legal: Vec<_> = JobState::ALL
            .into_iter()
            .flat_map(|state| Transition::ALL.into_iter().filter_map(move |t| Some((state, t, state.after(t).ok()?))))
            .collect();
        let named = [
            (Waiting, Transition::Release, Queued),
            (Waiting, Transition::Skip, Skipped),
            (Waiting, Transition::Cancel, Cancelled),
            (Queued, Transition::Lease, Running),
            (Queued, Transition::Cancel, Cancelled),
            (Running, Transition::Succeed, Succeeded),
            (Running, Transition::Requeue, Queued),
            (Running, Transition::Fail, Failed),
            (Running, Transition::Cancel, Cancelled),
        ];
        assert_eq!(legal, named);
    }

    #[test]
    fn no_transition_leaves_a_terminal_state() {
        for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
            assert!(Transition::ALL.into_iter().all(|t| state.after(t).is_err()), "{state}");
        }
    }

    #[test]
    fn an_acknowledged_cancel_is_never_followed_by_success() {
        for outcome in AttemptOutcome::ALL {
            assert_eq!(disposition(outcome, Some(Stop::Cancel), FRESH), Disposition::Cancel);
        }
    }

    #[test]
    fn a_preempted_job_is_queued_again_without_blame_unless_it_has_ended() {
        let ended = |outcome| disposition(outcome, Some(Stop::Preempt), FRESH);
        assert_eq!(ended(AttemptOutcome::Stopped), Disposition::Requeue);
        assert_eq!(ended(AttemptOutcome::Ok), Disposition::Succeed);
        assert_eq!(ended(AttemptOutcome::Timeout), Disposition::Fail);
        assert_eq!(ended(AttemptOutcome::Lost), Disposition::Crash, "nobody knows that it was the preemption");
    }

    #[test]
    fn a_cancellation_is_not_taken_back_by_a_preemption_nor_the_other_way_round() {
        assert_eq!(Stop::Cancel.and(Some(Stop::Preempt)), Stop::Cancel);
        assert_eq!(Stop::Preempt.and(Some(Stop::Cancel)), Stop::Cancel);
        assert_eq!(Stop::Preempt.and(None), Stop::Preempt);
    }

    #[test]
    fn a_job_that_keeps_killing_its_worker_fails_at_the_crash_limit() {
        let crashed = |crashes| disposition(AttemptOutcome::Lost, None, RetryBudget { crashes, ..FRESH });
        assert_eq!([crashed(0), crashed(1), crashed(2)], [Disposition::Crash, Disposition::Crash, Disposition::Fail]);
    }

    #[test]
    fn a_users_error_and_a_time_limit_are_not_tried_again() {
        for outcome in [AttemptOutcome::UserError, AttemptOutcome::Timeout] {
            assert_eq!(disposition(outcome, None, FRESH), Disposition::Fail);
        }
    }

    #[test]
    fn names_are_unique_and_read_back() {
        assert!(JobState::ALL.iter().all(|s| JobState::from_name(s.name()) == Some(*s)));
        assert!(AttemptOutcome::ALL.iter().all(|o| AttemptOutcome::from_name(o.name()) == Some(*o)));
        assert!(Stop::ALL.iter().all(|s| Stop::from_name(s.name()) == Some(*s)));
    }
}
