//! What is measured of our daemon, one file each.

mod depth;
mod dispatch;
mod heartbeats;
mod plan;
mod submit;
mod throughput;

use crate::{arguments::Arguments, daemon::Disk, row::Row};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Submit,
    Plan,
    Dispatch,
    Throughput,
    Heartbeats,
    Depth,
}

impl Measure {
    pub(crate) const ALL: [Self; 6] =
        [Self::Submit, Self::Plan, Self::Dispatch, Self::Throughput, Self::Heartbeats, Self::Depth];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Plan => "plan",
            Self::Dispatch => "dispatch",
            Self::Throughput => "throughput",
            Self::Heartbeats => "heartbeats",
            Self::Depth => "depth",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Submit => "plans of one job, by one client and by 64",
            Self::Plan => "a plan of 10,000 jobs, stored and cancelled",
            Self::Dispatch => "from a submission's answer to the job in an idle worker's hands",
            Self::Throughput => "jobs that end at once, by 64 workers",
            Self::Heartbeats => "1000 workers that have nothing to do",
            Self::Depth => "a queue of a million jobs",
        }
    }

    pub(crate) async fn run(self, arguments: &Arguments, disk: &Disk) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Submit => submit::run(arguments, disk).await,
            Self::Plan => plan::run(arguments, disk).await,
            Self::Dispatch => dispatch::run(arguments, disk).await,
            Self::Throughput => throughput::run(arguments, disk).await,
            Self::Heartbeats => heartbeats::run(arguments, disk).await,
            Self::Depth => depth::run(arguments, disk).await,
        }
    }
}
