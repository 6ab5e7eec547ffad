//! What can be read back of jobs and workers: the daemon's answers.
//!
//! Times are microseconds since the Unix epoch, UTC, by the daemon's clock.

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactHash, AttemptId, AttemptOutcome, CheckpointRecord, DiagnosticsRecord, EpochRecord, EvaluationRecord, JobId,
    JobKind, JobSpec, JobState, Label, Progress, RunStarted, Stop, SubmissionId, TimeLimit, UserName, WorkerId,
};

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its id.
    pub id: JobId,
    /// The plan it came with.
    pub submission: SubmissionId,
    /// The plan's name.
    pub plan: String,
    /// Who has submitted it.
    #[serde(default = "UserName::lab")]
    pub owner: UserName,
    /// Its name in the plan.
    pub name: String,
    /// Its kind.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Why it is to stop, or why it stopped.
    pub stop: Option<Stop>,
    /// Whether it is not handed out until somebody releases it.
    #[serde(default)]
    pub held: bool,
    /// Higher runs first.
    pub priority: i32,
    /// How long one attempt may take; absent = as long as it wants.
    #[serde(default)]
    pub time_limit: Option<TimeLimit>,
    /// The job that this one does again.
    #[serde(default)]
    pub retry_of: Option<JobId>,
    /// The job that does this one again.
    #[serde(default)]
    pub retried_as: Option<JobId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Epochs recorded, and epochs in all; 0 of 0 for evaluations.
    pub epochs_done: u32,
    /// Epochs in all.
    pub epochs_total: u32,
    /// Where the running attempt stands, as far as it is known.
    pub progress: Option<Progress>,
    /// Why it failed, was skipped or is waiting.
    pub reason: Option<String>,
    /// When it was submitted.
    pub created_at: i64,
    /// When its first attempt began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
}

impl JobSummary {
    /// The state, what the job has been asked to do, and whether it is held: `running, giving way, held`.
    pub fn standing(&self) -> String {
        let asked = match self.stop {
            Some(Stop::Cancel) if !self.state.is_terminal() => Some("cancelling"),
            Some(Stop::Preempt) => Some("giving way"),
            Some(Stop::Cancel | Stop::Timeout) | None => None,
        };
        let held = self.held.then_some("held");
        [Some(self.state.name()), asked, held].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A job with everything that is recorded of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The list's row.
    pub summary: JobSummary,
    /// What it does; references are resolved to ids.
    pub spec: JobSpec,
    /// The jobs that must have succeeded before.
    pub parents: Vec<JobId>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Its epochs, 1..n: of each the one of the newest attempt that trained it.
    pub epochs: Vec<EpochRecord>,
    /// Its evaluations, without the outcomes of single images.
    pub evaluations: Vec<EvaluationRecord>,
    /// What its evaluation has measured besides, where it was asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<DiagnosticsRecord>,
    /// Checkpoints that the artifact store holds.
    pub checkpoints: Vec<CheckpointRecord>,
    /// Hash of what was asked for: spec, and the keys of the jobs that it needs. Absent where something is of unknown content, such as
    /// a file, and from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_key: Option<ArtifactHash>,
}

/// One try at a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its id.
    pub id: AttemptId,
    /// The worker that made it.
    pub worker: WorkerId,
    /// That worker's machine.
    pub node: String,
    /// The device it ran on.
    pub device: String,
    /// When it was leased.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How it ended; absent while it runs.
    pub outcome: Option<AttemptOutcome>,
    /// What was said about its end.
    pub message: Option<String>,
    /// What ran; absent until the trainer reports.
    pub run: Option<RunStarted>,
}

/// A worker in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// Its machine.
    pub node: String,
    /// Its software's version.
    pub version: String,
    /// Whether it is connected.
    pub online: bool,
    /// When it was last heard.
    pub last_seen_at: i64,
    /// Its devices.
    pub devices: Vec<DeviceView>,
    /// What it is called by.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// A worker's device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The job that it runs now; of several the one that has been there longest.
    pub job: Option<JobId>,
    /// The others that share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_jobs: Vec<JobId>,
    /// The maker's name for it; empty where it is not known.
    #[serde(default)]
    pub name: String,
    /// Its memory, in MiB; absent where it is not known.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// How many jobs may share it; 0 where an older version has not said.
    #[serde(default)]
    pub share: u32,
    /// Why it is given no jobs; absent where it is.
    #[serde(default)]
    pub out_of_service: Option<OutOfService>,
}

/// Why a device is given no jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutOfService {
    /// Since when.
    pub since: i64,
    /// Why, in words.
    pub reason: String,
}

/// An entry of the log of everything that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Position in the log; strictly increasing.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// Whose.
    pub job: Option<JobId>,
    /// Whose.
    pub attempt: Option<AttemptId>,
    /// What, such as `job.state` or `epoch`.
    pub kind: String,
    /// Details, a JSON object.
    pub data: String,
}
