//! What daemon and worker say to each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactHash, AttemptId, DeviceRequest, JobId, JobSpec, Label, ParseIdError, Progress, TimeLimit, WorkerId,
};

/// A compute device of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The processor.
    Cpu,
    /// The CUDA device with that ordinal.
    Cuda(u32),
}

impl Device {
    /// Whether a job with that request may run here.
    pub fn satisfies(self, request: DeviceRequest) -> bool {
        match request {
            DeviceRequest::Any => true,
            DeviceRequest::Cpu => self == Self::Cpu,
            DeviceRequest::Cuda => matches!(self, Self::Cuda(_)),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || format!("unknown device `{text}`: use cpu or cuda:N, such as cuda:0");
        match text.strip_prefix("cuda:") {
            Some(ordinal) => ordinal.parse().map(Self::Cuda).map_err(|_| unknown()),
            None if text == "cpu" => Ok(Self::Cpu),
            None => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// A worker introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Its machine's name.
    pub node: String,
    /// Its software's version; the daemon refuses another than its own.
    pub version: String,
    /// Distinguishes this process from others of the same node, before and after.
    pub boot_id: String,
    /// Its devices.
    pub devices: Vec<DeviceInfo>,
    /// What it is called by; jobs may ask for it.
    pub labels: Vec<Label>,
    /// The code that its jobs run, as they will tell when they start; empty where it is not known.
    pub code_version: String,
}

/// A device that a worker offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Which.
    pub device: Device,
    /// The maker's name for it.
    pub name: String,
    /// Its memory, in MiB; absent where it is not known.
    pub memory_mib: Option<u64>,
    /// How many jobs may share it: into so many parts it is divided.
    pub share: u32,
}

/// More jobs than this cannot share a device.
pub const MAX_SHARE: u32 = 100;

/// A job handed to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// Lease and fencing token: every report carries it.
    pub attempt: AttemptId,
    /// The job's name, for logs.
    pub name: String,
    /// The device on which it is to run.
    pub device: Device,
    /// Further devices that are its own meanwhile.
    pub more_devices: Vec<Device>,
    /// How many of the parts into which each of these devices is divided are its own.
    pub parts: u32,
    /// What to do; references are ids.
    pub spec: JobSpec,
    /// Weights of the networks that the spec refers to.
    pub inputs: Vec<InputArtifact>,
    /// Where an earlier attempt left off.
    pub resume: Option<ResumePoint>,
    /// How long this attempt may take, from the trainer's start on, by the worker's monotonic clock.
    pub time_limit: Option<TimeLimit>,
}

impl Assignment {
    /// All devices that are its own, that on which it is to run first.
    pub fn devices(&self) -> Vec<Device> {
        std::iter::once(self.device).chain(self.more_devices.iter().copied()).collect()
    }
}

/// The weights of a network that a job refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputArtifact {
    /// The job referred to, whose final checkpoint it is; absent where the spec names the artifact by its hash.
    pub job: Option<JobId>,
    /// Its hash.
    pub sha256: ArtifactHash,
    /// Its size.
    pub bytes: u64,
}

impl InputArtifact {
    /// What the spec calls it.
    pub fn name(&self) -> InputName {
        match self.job {
            Some(job) => InputName::Job(job),
            None => InputName::Artifact(self.sha256.clone()),
        }
    }
}

/// What a spec calls a network that is fetched for it: `12` for the final weights of that job, or `sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InputName {
    /// The final weights of a job.
    Job(JobId),
    /// An artifact.
    Artifact(ArtifactHash),
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "{job}"),
            Self::Artifact(sha256) => write!(f, "sha256:{sha256}"),
        }
    }
}

impl FromStr for InputName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("sha256:") {
            Some(sha256) => sha256.parse().map(Self::Artifact),
            None => text.trim_start_matches('#').parse().map(Self::Job),
        }
    }
}

/// A checkpoint from which to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last epoch that it holds.
    pub epoch: u32,
    /// The checkpoint.
    pub sha256: ArtifactHash,
    /// Its size.
    pub bytes: u64,
}

/// An attempt that a worker has, told with every heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Where it stands.
    pub progress: Option<Progress>,
}

/// The daemon's answer to a heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatReply {
    /// What to do with each attempt that the worker has.
    pub instructions: Vec<(AttemptId, Instruction)>,
    /// Whether the daemon knows this worker; if not, it must register again.
    pub known: Option<WorkerId>,
}

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Go on.
    Continue,
    /// End the trainer gently, then by force, and report.
    Stop,
    /// The attempt is no longer this worker's: end the trainer by force and report nothing.
    Abandon,
}
