//! What is said about steering jobs and workers.

use clap::Args;
use rrm_spec::{DrainHow, DrainTarget, RequestId, TimeLimit};

use crate::{
    selector::{JobSelector, PlanSelector},
    time::parse_time_limit,
};

/// Some jobs.
#[derive(Debug, Args)]
pub(crate) struct JobsArguments {
    /// Jobs: ids, ranges (12-20), names (@student) and plans (plan:3)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every job of this plan that it can be done with: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A held job keeps its place in the queue, but no worker gets it until it is released. Only jobs that wait or are queued can be held; one that runs \
is preempted and held with `rrm preempt --hold`. Where a named job is in another state, nothing is changed and the exit code is 8.

Examples:
  rrm hold 12 @student
  rrm hold --plan last          all jobs of your newest plan that wait or are queued
  rrm submit plan.toml --hold   held from the start")]
pub(crate) struct HoldArguments {
    #[command(flatten)]
    pub(crate) jobs: JobsArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm release 12-20
  rrm release --plan last")]
pub(crate) struct ReleaseArguments {
    #[command(flatten)]
    pub(crate) jobs: JobsArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Of the jobs that a device can run the one with the highest priority goes first, of equals the oldest. Jobs have priority 0 unless their plan says \
otherwise. Only jobs that wait or are queued can be changed; a running one is not interrupted by one of higher priority.

Examples:
  rrm priority 10 @student
  rrm priority -5 --plan last")]
pub(crate) struct PriorityArguments {
    /// The new priority; higher goes first
    #[arg(value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: i32,

    #[command(flatten)]
    pub(crate) jobs: JobsArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A running job is told to stop after its current step. Its last checkpoint is kept, and it is queued again where it was, without counting as a retry \
or a crash; it goes on from the checkpoint as soon as a device is free. Without --hold that may be at once, unless a job of higher priority is queued.

Examples:
  rrm preempt 12 --hold          stop it, and keep it until `rrm release 12`
  rrm priority 10 20 && rrm preempt 12   job 20 first, then job 12 again")]
pub(crate) struct PreemptArguments {
    #[command(flatten)]
    pub(crate) jobs: JobsArguments,

    /// Hold the jobs, too
    #[arg(long)]
    pub(crate) hold: bool,

    /// Name of this request (8 to 64 letters, digits and hyphens): repeated, it stops nothing anew [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What has happened stays as it is: a retry is a new job with the same name in the same plan. @NAME, reports, `rrm wait --plan` and `rrm watch --plan` \
mean the newest try from then on; `rrm list` shows all of them.
By default a new job goes on from the last checkpoint of the old one, where that is still kept, to the same result as without the interruption.
With --with-dependents the jobs that were skipped because of a retried one are done again on the new one, too.
Failures of the machine are tried again by themselves as often as a plan's max_retries says; faults of the job and time limits are not.

Examples:
  rrm retry 12 --with-dependents
  rrm retry @teacher --time-limit 4h
  rrm retry --plan last --from-scratch   everything of your newest plan that failed, was cancelled or skipped")]
pub(crate) struct RetryArguments {
    #[command(flatten)]
    pub(crate) jobs: JobsArguments,

    /// Do again, too, what was skipped because of them
    #[arg(long)]
    pub(crate) with_dependents: bool,

    /// Begin at the beginning, not at the last checkpoint
    #[arg(long)]
    pub(crate) from_scratch: bool,

    /// Give each attempt so long (seconds, or such as 90s, 45m, 1d 12h) [default: as before]
    #[arg(long, value_name = "TIME", value_parser = parse_time_limit)]
    pub(crate) time_limit: Option<TimeLimit>,

    /// Name of this request (8 to 64 letters, digits and hyphens): repeated, it makes nothing new [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
No job is handed out to any worker until `rrm undrain`, restarts of the daemon included. Jobs can be submitted meanwhile.
What runs goes on to its end; with --now it stops after its current step and is queued again.
`rrm worker drain` does the same to one machine.

Examples:
  rrm drain              before an upgrade; `rrm list --state running` shows what is left
  rrm drain --now
  rrm undrain")]
pub(crate) struct DrainArguments {
    #[command(flatten)]
    pub(crate) how: NowArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm undrain")]
pub(crate) struct UndrainArguments {}

#[derive(Debug, Args)]
#[command(after_help = "\
The worker gets no new job until `rrm worker undrain`. What runs there goes on to its end; with --now it stops after its current step and is \
queued again for others, without counting as a retry or a crash. A machine stays drained when its workers are started anew; a worker that was drained \
by its id is another one after that.

Examples:
  rrm worker drain node1
  rrm worker drain 7 --now
  rrm worker list        shows when nothing runs there any more")]
pub(crate) struct WorkerDrainArguments {
    /// A machine's name, or a worker's id
    #[arg(value_name = "NODE|ID")]
    pub(crate) target: DrainTarget,

    #[command(flatten)]
    pub(crate) how: NowArguments,
}

/// What becomes of what runs.
#[derive(Debug, Args)]
pub(crate) struct NowArguments {
    /// Stop what runs there after its current step and queue it again
    #[arg(long)]
    now: bool,
}

impl NowArguments {
    pub(crate) fn how(&self) -> DrainHow {
        if self.now { DrainHow::Now } else { DrainHow::Finish }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm worker undrain node1")]
pub(crate) struct WorkerUndrainArguments {
    /// A machine's name, or a worker's id
    #[arg(value_name = "NODE|ID")]
    pub(crate) target: DrainTarget,
}
