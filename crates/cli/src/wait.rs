//! `rrm wait`: until jobs have ended.

use std::{collections::BTreeMap, time::Duration};

use rrm_spec::{JobId, JobSummary};
use serde_json::json;

use crate::{
    arguments::WaitArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output, printable},
    summary,
};

/// Between two looks: short at first, for scripts over short jobs, then kinder to the daemon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn run(arguments: &WaitArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let jobs = daemon.select_or_plan(&arguments.jobs, arguments.plan).await;
    let jobs = jobs.map_err(|failure| failure.context("wait for jobs"))?;
    let jobs = jobs.into_iter().map(|job| (job.id, job)).collect();
    let ended: Vec<_> = until_ended(jobs, daemon, output).await?.into_values().collect();
    show(&ended, output)?;
    Ok(Exit::of_jobs(ended.iter().map(|job| job.state)))
}

type Jobs = BTreeMap<JobId, JobSummary>;

/// Looks until every job has ended. A daemon that is away for a while is waited for.
async fn until_ended(mut jobs: Jobs, daemon: &Daemon, output: Output) -> Result<Jobs, Failure> {
    let mut pause = FIRST_PAUSE;
    let mut daemon = Absence { daemon: daemon.impatient(), noted: false };
    loop {
        let open: Vec<JobId> = jobs.values().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect();
        if open.is_empty() {
            return Ok(jobs);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        jobs.extend(daemon.summaries(&open, output).await?.into_iter().map(|newer| (newer.id, newer)));
    }
}

/// A daemon whose absence is remarked upon once.
struct Absence {
    daemon: Daemon,
    noted: bool,
}

impl Absence {
    /// Nothing new while the daemon is away.
    async fn summaries(&mut self, ids: &[JobId], output: Output) -> Result<Vec<JobSummary>, Failure> {
        match self.daemon.summaries(ids).await {
            Err(failure) if failure.is_unreachable() => {
                if !self.noted {
                    output.note("the daemon does not answer: waiting for it; jobs that run go on meanwhile");
                }
                self.noted = true;
                Ok(Vec::new())
            }
            answered => {
                self.noted = false;
                answered
            }
        }
    }
}

fn show(jobs: &[JobSummary], output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs})),
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string())),
        Format::Human => {
            for job in jobs {
                let state = output.paint(job.state.name(), summary::tone(job.state));
                let reason =
                    job.reason.as_deref().map_or_else(String::new, |reason| format!("  {}", printable(reason)));
                output.line(&format!("{}  {}  {state}{reason}", job.id, job.name))?;
            }
            Ok(())
        }
    }
}

/// What an interrupted user wants to know.
pub(crate) const INTERRUPTED: &str =
    "interrupted: nothing was cancelled, the jobs go on; `rrm wait` and `rrm watch` look again, `rrm cancel` ends them";
