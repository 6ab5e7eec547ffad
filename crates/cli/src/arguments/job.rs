//! What is said about jobs and plans.

use std::path::PathBuf;

use clap::Args;
use rrm_spec::{JobState, RequestId};

use super::RecipeChanges;
use crate::selector::{JobSelector, PlanSelector};

#[derive(Debug, Args)]
#[command(after_help = "\
Either all jobs of a plan are stored or none. Every fault of a plan is named at once, and nothing is \
submitted then.
A submission is repeated while the daemon does not answer; it has one effect however often it is sent.

With --reuse the plan refers to the earlier job wherever one has done the same: same code as the workers run now (a change \
elsewhere than in what computes does not count), same spec (batch sizes of evaluations and syntheses apart), same images, and the \
same of all that it needs; names and priorities do not matter. What it made must still be there, and it must have run on a device \
that the job asks for. The images of today are those that the newest run found under the dataset's name: after a change of them, \
submit once without --reuse. What starts from a file is always done again.

Examples:
  rrm submit plan.toml
  rrm submit plan.toml --reuse          only what no job has done before
  rrm submit plan.toml --strict         nothing that no worker could ever run
  rrm submit plan.toml --dry-run        what would be submitted, sweeps expanded
  rrm submit plan.toml --hold           nothing runs before `rrm release --plan last`
  rrm submit plan.toml --wait           and follow it until it is done
  rrm wait $(rrm -q submit plan.toml)   the same in a script
  generate-plan | rrm submit -
  rrm submit --recipe cpu/table1        one of the paper's tables and figures (rrm recipe list)
  rrm submit --recipe paper/table2 --switch kd-loss=paper --seeds 0..3")]
pub(crate) struct SubmitArguments {
    /// The plan (TOML); - reads standard input
    #[arg(
        value_name = "PLAN.toml",
        required_unless_present = "recipe",
        conflicts_with_all = ["recipe", "switches", "seeds", "settings"]
    )]
    pub(crate) plan: Option<PathBuf>,

    /// A recipe's plan instead of one from a file
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: Option<String>,

    #[command(flatten)]
    pub(crate) changes: RecipeChanges,

    /// Follow the jobs until they have ended; the exit code says how
    #[arg(long)]
    pub(crate) wait: bool,

    /// Check the plan and print its jobs without asking the daemon
    #[arg(long, conflicts_with_all = ["wait", "request_id"])]
    pub(crate) dry_run: bool,

    /// Hold every job until it is released (rrm release)
    #[arg(long)]
    pub(crate) hold: bool,

    /// Do not do again what a job has done: the same spec by the same code on the same images is taken for done
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) reuse: bool,

    /// Refuse the plan where a job asks for what no registered worker has, instead of warning of it
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) strict: bool,

    /// Name of this submission (8 to 64 letters, digits and hyphens): repeated, it submits nothing new [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm list                                the newest 50 jobs
  rrm list --plan last                    the jobs of your newest plan
  rrm list --state failed --limit 0       every failed job
  rrm list --needs 12                     what learns from job 12's network, or evaluates it
  rrm --json list --state running | jq '.jobs[].name'")]
pub(crate) struct ListArguments {
    /// Only jobs in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub(crate) state: Vec<JobState>,

    /// Only jobs of this plan: its id, or last
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// Only jobs that need this one (its id, or @NAME), of whichever plan
    #[arg(long, value_name = "JOB", conflicts_with = "plan")]
    pub(crate) needs: Option<JobSelector>,

    /// At most so many; 0 = all
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

fn parse_state(text: &str) -> Result<JobState, String> {
    let names = JobState::ALL.map(JobState::name).join(", ");
    JobState::from_name(text).ok_or_else(|| format!("no job can be `{text}`: use one of {names}"))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm show 12
  rrm show @student                  the job of that name in the last plan
  rrm --json show 12 | jq .job.epochs")]
pub(crate) struct ShowArguments {
    /// The job: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Tells for what a job waits: other jobs, the end of a pause after an error, jobs that come before it, and of every connected worker \
whether it could ever run it, and what each of its devices does.

Examples:
  rrm explain 12
  rrm explain @student
  rrm --json explain 12 | jq '.explanation.workers[].devices'")]
pub(crate) struct ExplainArguments {
    /// The job: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal every running job has a bar; otherwise, one line is printed for each thing that happens.
A plan is followed until it is done, and the exit code says how its jobs ended. Interrupting cancels \
nothing.
A restart of the daemon is waited for, and nothing that happened meanwhile is missed.

Examples:
  rrm watch                    whatever runs, until interrupted
  rrm watch --plan last
  rrm --json watch --plan 3    events and progress as JSON lines")]
pub(crate) struct WatchArguments {
    /// Only this plan: its id, or last
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// With --json: only events after the one with this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) after: i64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm logs 12
  rrm logs @student -f          follow it, over restarts and further attempts, until the job has ended
  rrm logs 12 --attempt 31      of an earlier attempt (rrm show 12 lists them)")]
pub(crate) struct LogsArguments {
    /// The job: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// Go on until the job has ended
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// The attempt's id [default: the newest]
    #[arg(long, value_name = "ID", conflicts_with = "follow")]
    pub(crate) attempt: Option<i64>,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all succeeded, 1 some failed or were skipped, 4 some were cancelled, 5 the --timeout ran out.
Interrupting cancels nothing.

Examples:
  rrm wait 12-20
  rrm wait --plan last --timeout 2h
  rrm wait @student && rrm report last")]
pub(crate) struct WaitArguments {
    /// Jobs: ids, ranges (12-20), names (@student) and plans (plan:3)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every job of this plan: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What waits is cancelled at once; what runs is told to stop, and ends as cancelled soon after. Jobs that need \
a cancelled one are skipped. What has ended stays as it is; where all that is named has succeeded or failed, the exit code is 8.

Examples:
  rrm cancel 12
  rrm cancel 12-20 @student
  rrm cancel --plan last        every job of your newest plan")]
pub(crate) struct CancelArguments {
    /// Jobs: ids, ranges (12-20), names (@student) and plans (plan:3)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every job of this plan: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,
}
