//! What users may want of jobs and workers that are under way.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{JobId, ParseIdError, TimeLimit, WorkerId, WorkerView};

/// A change to jobs that have not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobChange {
    /// They are not handed out.
    Hold,
    /// They may be handed out again.
    Release,
    /// Higher runs first.
    Priority(i32),
}

/// What becomes of a job that gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterPreemption {
    /// It is queued, and goes on as soon as a device is free.
    Queue,
    /// It is queued, but held until somebody releases it.
    Hold,
}

/// How jobs that ended without success are done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryWish {
    /// Where they begin.
    pub begin: RetryBegin,
    /// What becomes of jobs that were skipped because of them.
    pub dependents: Dependents,
    /// Another time limit; absent = each keeps its own.
    pub time_limit: Option<TimeLimit>,
}

/// Where a retried job begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryBegin {
    /// At the last checkpoint, where one is kept.
    Checkpoint,
    /// At the beginning.
    Scratch,
}

/// What becomes of the jobs that were skipped because of a retried one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependents {
    /// They stay skipped.
    Leave,
    /// They are done again, too, on the new job.
    Retry,
}

/// A job that is done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// The new job.
    pub job: JobId,
    /// The job that it stands for.
    pub retry_of: JobId,
    /// The name of both.
    pub name: String,
    /// The last epoch that it does not train again; 0 = it begins at the beginning.
    pub resumes_after: u32,
}

/// To whom no new work is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainTarget {
    /// Nobody gets any.
    Daemon,
    /// Every worker of a machine, those that come later included.
    Node(String),
    /// One worker.
    Worker(WorkerId),
}

impl fmt::Display for DrainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("the daemon"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Worker(id) => write!(f, "worker {id}"),
        }
    }
}

/// A worker's id, or a machine's name: a number is an id.
impl FromStr for DrainTarget {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a worker's id (7) or a machine's name (node1)";
        match text.parse() {
            Ok(id) => Ok(Self::Worker(id)),
            Err(_) if text.trim().is_empty() => Err(ParseIdError::new(text, expected)),
            Err(_) => Ok(Self::Node(text.to_owned())),
        }
    }
}

/// What becomes of jobs that run where no new work is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainHow {
    /// They run to their end.
    Finish,
    /// They stop at their next step and are queued again.
    Now,
}

impl DrainHow {
    /// The word for it in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Now => "now",
        }
    }

    /// How, by that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Finish, Self::Now].into_iter().find(|how| how.name() == name)
    }
}

/// Somebody gets no new work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// Who.
    pub target: DrainTarget,
    /// What becomes of what runs there.
    pub how: DrainHow,
    /// Since when, in microseconds since the Unix epoch, UTC, by the daemon's clock.
    pub since: i64,
}

impl DrainView {
    /// Whether it is this worker that gets nothing, or all of its machine; not where it is the whole daemon.
    pub fn names(&self, worker: &WorkerView) -> bool {
        match &self.target {
            DrainTarget::Daemon => false,
            DrainTarget::Node(node) => *node == worker.node,
            DrainTarget::Worker(id) => *id == worker.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_named_by_id_and_machines_by_name() {
        assert_eq!("7".parse(), Ok(DrainTarget::Worker(WorkerId(7))));
        assert_eq!("node1".parse(), Ok(DrainTarget::Node("node1".into())));
        assert!(" ".parse::<DrainTarget>().is_err());
    }

    #[test]
    fn a_drained_machine_names_its_workers_and_no_others() {
        let worker = |id, node: &str| WorkerView {
            id: WorkerId(id),
            node: node.into(),
            version: String::new(),
            online: true,
            last_seen_at: 0,
            devices: Vec::new(),
            labels: Vec::new(),
        };
        let drain = |target| DrainView { target, how: DrainHow::Finish, since: 0 };
        assert!(drain(DrainTarget::Node("a".into())).names(&worker(1, "a")));
        assert!(!drain(DrainTarget::Node("a".into())).names(&worker(1, "b")));
        assert!(drain(DrainTarget::Worker(WorkerId(1))).names(&worker(1, "b")));
        assert!(!drain(DrainTarget::Daemon).names(&worker(1, "b")));
    }
}
