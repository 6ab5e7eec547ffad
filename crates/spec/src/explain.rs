//! Why a job does not run: the daemon's answer to `rrm explain`.
//!
//! Times are microseconds since the Unix epoch, UTC, by the daemon's clock.

use serde::{Deserialize, Serialize};

use crate::{DeviceRequest, JobId, JobState, Label, ResourceRequest, UserName, WorkerId};

/// All that keeps a job from running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// Its name in its plan.
    pub name: String,
    /// Whose it is.
    pub owner: UserName,
    /// Where it stands.
    pub state: JobState,
    /// Since when.
    pub since: i64,
    /// Why it stands there, where that was recorded.
    pub reason: Option<String>,
    /// Higher runs first.
    pub priority: i32,
    /// Which kind of devices it asks for.
    pub device: DeviceRequest,
    /// How many, how large, and where.
    pub resources: ResourceRequest,
    /// The jobs that must succeed before and have not.
    pub parents: Vec<ParentView>,
    /// After an error of the machine it is not tried again before.
    pub not_before: Option<i64>,
    /// Whether it is held: not handed out until somebody releases it.
    pub held: bool,
    /// Whether the daemon hands nothing out.
    pub drained: bool,
    /// The queued jobs that come before it; absent unless it is queued itself.
    pub ahead: Option<Ahead>,
    /// The workers that are connected, and what each has for it; empty unless it is waiting or queued.
    pub workers: Vec<WorkerStanding>,
}

/// A job that another waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentView {
    /// Its id.
    pub id: JobId,
    /// Its name in its plan.
    pub name: String,
    /// Where it stands.
    pub state: JobState,
}

/// The queued jobs that come before one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// How many, as far as they were counted.
    pub jobs: u64,
    /// Whether there are more.
    pub is_more: bool,
    /// Whose they are, and why they come first.
    pub groups: Vec<AheadGroup>,
}

/// Jobs of one owner that come before another for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AheadGroup {
    /// Whose.
    pub owner: UserName,
    /// Why.
    pub why: AheadReason,
    /// How many.
    pub jobs: u64,
}

/// Why a job comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AheadReason {
    /// Its priority is higher.
    Priority,
    /// Its owner has used less.
    Usage,
    /// It is of the same owner and older.
    Age,
}

impl AheadReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Priority, Self::Usage, Self::Age];
}

/// What a worker has for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStanding {
    /// Its id.
    pub worker: WorkerId,
    /// Its machine.
    pub node: String,
    /// Labels that the job asks for and that it lacks.
    pub lacks_labels: Vec<Label>,
    /// How many of its devices the job could ever use.
    pub fitting: u32,
    /// How many the job needs.
    pub wanted: u32,
    /// Whether it gets no new work: it, its machine or the daemon is drained.
    pub drained: bool,
    /// Each of its devices.
    pub devices: Vec<DeviceStanding>,
}

impl WorkerStanding {
    /// Whether the job could ever run there.
    pub fn fits(&self) -> bool {
        self.lacks_labels.is_empty() && self.fitting >= self.wanted
    }
}

/// What a device is for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStanding {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// What it is.
    pub standing: Standing,
}

/// What a device is for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Standing {
    /// Free: the job has it as soon as the worker asks and nothing comes before.
    Free,
    /// Of a kind that the job does not ask for.
    OtherKind,
    /// With less memory than the job asks for.
    TooSmall {
        /// What it has, in MiB; absent where its worker does not know.
        has_mib: Option<u64>,
        /// What the job asks for, in MiB.
        needs_mib: u64,
    },
    /// Out of service.
    OutOfService {
        /// Since when.
        since: i64,
        /// Why.
        reason: String,
    },
    /// Busy with others.
    Busy {
        /// The job that has been there longest.
        job: JobId,
        /// Its name.
        name: String,
        /// Since when it runs there.
        since: i64,
        /// When it will have ended, to judge by its epochs so far; absent where there are none.
        expected_end: Option<i64>,
    },
    /// Kept for a job that comes before.
    Reserved {
        /// Which.
        job: JobId,
    },
}
