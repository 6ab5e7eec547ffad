//! What calls carry beyond the vocabulary of `rrm-spec`.

use std::pin::Pin;

use bytes::Bytes;
use rrm_spec::{
    ArtifactHash, AttackSpec, AttemptId, AttemptOutcome, EventView, ImageOutcome, JobId, JobState, Progress,
    SubmissionId, UserName, WorkerId,
};
use tokio::io::AsyncRead;
use tokio_stream::Stream;

use crate::{ApiError, Caller};

/// A stream of replies; it ends after its first error.
pub type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, ApiError>> + Send + 'static>>;

/// What a daemon is, and what the caller is to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The daemon's version.
    pub version: String,
    /// The version of its SQLite.
    pub sqlite_version: String,
    /// Its clock, in microseconds since the Unix epoch.
    pub now: i64,
    /// Bytes that are free to it on the disk of its state folder.
    pub free_bytes: u64,
    /// Size of that disk in bytes.
    pub total_bytes: u64,
    /// Who asks, by the token.
    pub caller: Caller,
}

/// Where a submission comes from: kept beside it for provenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Version of the client.
    pub client_version: String,
    /// Name of the client's machine.
    pub host: String,
}

/// Whether what has been done before is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reuse {
    /// A job is taken for done where one has succeeded that was asked for the same, and the same code has made it of the same images;
    /// as long as what that one made is there.
    Yes,
    /// Every job is queued.
    #[default]
    No,
}

/// What becomes of a plan with jobs that no registered worker could ever run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strict {
    /// It is refused.
    Yes,
    /// It is stored with a warning: its jobs wait for such a worker.
    #[default]
    No,
}

/// How a plan is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Whether what has been done before is done again.
    pub reuse: Reuse,
    /// What becomes of jobs that nobody could run.
    pub strict: Strict,
}

/// The daemon's receipt for a plan: it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The plan's id.
    pub submission: SubmissionId,
    /// Id and name of each job, in the plan's order; of those that were done before the earlier job's id.
    pub jobs: Vec<(JobId, String)>,
    /// Those of the jobs that were done before and are not queued.
    pub reused: Vec<JobId>,
    /// Whether an earlier request with the same id had already submitted it.
    pub already: bool,
    /// What may be wrong though it was accepted, such as that no worker could run a job now.
    pub warnings: Vec<String>,
}

/// A plan that was submitted: what a caller means who names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPlan {
    /// The plan's id.
    pub submission: SubmissionId,
    /// What it is called.
    pub name: String,
    /// Who submitted it.
    pub owner: UserName,
}

/// Which jobs to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs in one of these states; empty = any.
    pub states: Vec<JobState>,
    /// Only jobs of this plan.
    pub submission: Option<SubmissionId>,
    /// Only jobs that need this one, of whichever plan.
    pub needs: Option<JobId>,
    /// Only jobs older than this one: the last of the page before.
    pub before: Option<JobId>,
    /// At most so many; 0 = as many as the daemon hands out at once.
    pub limit: u32,
}

/// What a watcher sees.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchItem {
    /// An entry of the log of events; each comes once, in order.
    Event(EventView),
    /// Where a running job stands now; not stored, the newest may replace those before.
    Progress(JobId, Progress),
}

/// Whether a log stream ends at the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It goes on until the attempt has ended.
    Yes,
    /// It ends with what there is.
    No,
}

/// A piece of an attempt's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Whose log.
    pub attempt: AttemptId,
    /// Position of the first byte in it.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where a stream of images begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImagesFrom {
    /// From which of the job's evaluations on, in the order in which the job shows them, counted from 0.
    pub evaluation: u32,
    /// Of that evaluation only the images behind this one.
    pub after: Option<u32>,
}

/// The outcomes of some images of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagesPage {
    /// Which of the job's evaluations, counted from 0.
    pub evaluation: u32,
    /// That evaluation's attack.
    pub attack: AttackSpec,
    /// In the order of the test set; never empty.
    pub images: Vec<ImageOutcome>,
}

/// The daemon's answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The worker's id.
    pub worker: WorkerId,
    /// A worker silent for so long is taken for lost, in milliseconds.
    pub ttl_ms: u64,
    /// How often it is to send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// The kind of end.
    pub outcome: AttemptOutcome,
    /// What was said about it; absent where it needs no words.
    pub message: Option<String>,
    /// The trainer's exit code; absent where a signal ended it or it is unknown.
    pub exit_code: Option<i32>,
    /// The signal that ended it; absent where it exited by itself.
    pub signal: Option<i32>,
}

/// An artifact that a worker is about to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The attempt that made it; only the current one may.
    pub attempt: AttemptId,
    /// Its hash.
    pub sha256: ArtifactHash,
    /// Its size.
    pub bytes: u64,
}

/// An artifact that the daemon hands out.
pub struct Artifact {
    /// Its size.
    pub bytes: u64,
    /// Its content, from the first byte.
    pub content: Pin<Box<dyn AsyncRead + Send + 'static>>,
}
