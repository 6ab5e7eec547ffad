//! `rrm hold`, `rrm release`, `rrm priority`: jobs that have not begun.

use rrm_spec::{JobChange, JobId, JobState, JobSummary};
use serde_json::json;

use crate::{
    arguments::JobsArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::JobSelector,
    summary,
};

pub(crate) async fn run(
    arguments: &JobsArguments,
    change: JobChange,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let attempt = attempt(change);
    let fits = |job: &JobSummary| has_not_begun(job) || (change == JobChange::Release && job.held);
    let ids = chosen(arguments, daemon, output, fits).await;
    let ids = ids.map_err(|failure| failure.context(attempt))?;
    let jobs = daemon.client.change(ids, change).await;
    let jobs = jobs.map_err(|error| Failure::from(error).context(attempt))?;
    show(&jobs, change, output)?;
    Ok(Exit::Done)
}

fn attempt(change: JobChange) -> &'static str {
    match change {
        JobChange::Hold => "hold jobs",
        JobChange::Release => "release jobs",
        JobChange::Priority(_) => "change jobs' priority",
    }
}

fn has_not_begun(job: &JobSummary) -> bool {
    match job.state {
        JobState::Waiting | JobState::Queued => true,
        JobState::Running | JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Skipped => false,
    }
}

/// The jobs that were named or, where nothing but plans was, those of them that it can be done with.
pub(crate) async fn chosen(
    arguments: &JobsArguments,
    daemon: &Daemon,
    output: Output,
    fits: impl Fn(&JobSummary) -> bool,
) -> Result<Vec<JobId>, Failure> {
    let JobsArguments { jobs, plan } = arguments;
    let found = daemon.select_to_change(jobs, *plan, output).await?;
    if !jobs.iter().all(JobSelector::is_plan) {
        return Ok(found.into_iter().map(|job| job.id).collect());
    }
    let ids: Vec<JobId> = found.iter().filter(|job| fits(job)).map(|job| job.id).collect();
    match ids.is_empty() {
        false => Ok(ids),
        true => {
            let counts = summary::counts(found.iter().map(|job| job.state));
            let failure = Failure::new(Exit::Conflict, format!("no job of the plan is in a state for that: {counts}"));
            Err(failure.next("`rrm list --plan PLAN` shows its jobs"))
        }
    }
}

fn show(jobs: &[JobSummary], change: JobChange, output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs})),
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string())),
        Format::Human => jobs.iter().try_for_each(|job| {
            let now = match change {
                JobChange::Hold | JobChange::Release => summary::state(job),
                JobChange::Priority(_) => format!("priority {}", job.priority),
            };
            output.line(&format!("{}  {}  {now}", job.id, job.name))
        }),
    }
}
