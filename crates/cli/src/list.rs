//! `rrm list`: jobs, newest first.

use rrm_spec::JobSummary;
use serde_json::json;

use crate::{
    arguments::ListArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    summary, time,
};

pub(crate) async fn run(arguments: &ListArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let submission = match arguments.plan {
        Some(plan) => Some(daemon.plan(plan).await?),
        None => None,
    };
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit as usize };
    let jobs = daemon.list(&arguments.state, submission, limit).await.map_err(|f| f.context("list jobs"))?;
    show(&jobs, output)?;
    Ok(Exit::Done)
}

/// Prints jobs.
pub(crate) fn show(jobs: &[JobSummary], output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs})),
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string())),
        Format::Human if jobs.is_empty() => {
            output.note("no such jobs");
            Ok(())
        }
        Format::Human => output.text(&summary::table(jobs, time::now_us(), output)),
    }
}
