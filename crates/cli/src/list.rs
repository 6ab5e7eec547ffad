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
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit as usize };
    let jobs = match arguments.plan {
        Some(plan) => daemon.list_plan(&arguments.state, plan, limit).await,
        None => daemon.list(&arguments.state, None, limit).await,
    };
    let jobs = jobs.map_err(|failure| failure.context("list jobs"))?;
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
