//! What a call can fail with, the same on both sides of the wire.

use rrm_spec::Violations;

/// Why a call failed. Each variant is something else for the caller to do; [`next_step`](Self::next_step) says what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request is faulty; every fault is named.
    #[error("invalid request: {0}")]
    Invalid(Violations),
    /// What was asked for does not exist.
    #[error("not found: {what}")]
    NotFound {
        /// What, such as `job 12`.
        what: String,
    },
    /// The request contradicts what is stored.
    #[error("conflict: {what}")]
    Conflict {
        /// What contradicts what, with both values.
        what: String,
    },
    /// The attempt is no longer this worker's; nothing that it says will be stored.
    #[error("the attempt is no longer this worker's")]
    LeaseLost,
    /// The state does not allow the request.
    #[error("refused in this state: {what}")]
    Precondition {
        /// The state, and what it would have to be.
        what: String,
    },
    /// A limit is reached.
    #[error("limit reached: {what}")]
    Exhausted {
        /// Which limit, and how much is in use.
        what: String,
    },
    /// The message is over the limit, and will be however often it is sent.
    #[error("too large: {what}")]
    TooLarge {
        /// Its size, and the limit.
        what: String,
    },
    /// No token, or an unknown one.
    #[error("no valid token")]
    Unauthenticated,
    /// A valid token of a role that may not do this.
    #[error("not allowed: {what}")]
    PermissionDenied {
        /// Whose token it is, the role that it has, and those that may.
        what: String,
    },
    /// What is to be changed is somebody else's.
    #[error("not allowed: {what}")]
    NotOwner {
        /// What, whose it is, and who asked.
        what: String,
    },
    /// Daemon and client are of different versions.
    #[error("the daemon is version {server}, this client is version {client}")]
    Version {
        /// The daemon's version.
        server: String,
        /// The client's version.
        client: String,
    },
    /// No answer, or one that says to try again.
    #[error("the daemon is unavailable: {what}")]
    Unavailable {
        /// What was tried, and how it failed.
        what: String,
    },
    /// A fault of the daemon or of this software.
    #[error("internal error: {what}")]
    Internal {
        /// What went wrong.
        what: String,
    },
}

impl ApiError {
    /// What the caller can do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "correct the named fields and send the request again",
            Self::NotFound { .. } => "check the id; `rrm list` shows what exists",
            Self::Conflict { .. } => "use a fresh request id for a different request",
            Self::LeaseLost => "end the trainer; another worker has the job, or it has ended",
            Self::Precondition { .. } => "look at the current state with `rrm show`",
            Self::Exhausted { .. } => "wait until jobs have ended, or make room where a disk is full; then try again",
            Self::TooLarge { .. } => "send less at once",
            Self::Unauthenticated => {
                "pass the file of a valid token: an administrator's `rrm admin token add` makes one (--token-file)"
            }
            Self::PermissionDenied { .. } => "use a token whose role allows it: `rrm doctor` shows the role of yours",
            Self::NotOwner { .. } => "ask the owner or an administrator",
            Self::Version { .. } => "install the same version on both sides",
            Self::Unavailable { .. } => "check that rrmd runs and that the address is right, then try again",
            Self::Internal { .. } => "look into the daemon's log, and report the fault",
        }
    }

    /// Whether the same request may succeed when it is sent again unchanged.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<Violations> for ApiError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}
