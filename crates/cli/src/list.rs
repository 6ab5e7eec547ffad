//! `rrm list`: jobs, newest first.

use rrm_spec::{DrainView, JobSummary};
use serde_json::json;

use crate::{
    arguments::ListArguments,
    daemon::Daemon,
    drain,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::PlanSelector,
    summary, time,
};

pub(crate) async fn run(arguments: &ListArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit as usize };
    let jobs = match (&arguments.needs, arguments.plan) {
        (Some(parent), _) => {
            let parent = daemon.select_one(parent, PlanSelector::Last).await?;
            daemon.list_needing(parent, &arguments.state, limit).await
        }
        (None, Some(plan)) => daemon.list_plan(&arguments.state, plan, limit).await,
        (None, None) => daemon.list(&arguments.state, None, limit).await,
    };
    let jobs = jobs.map_err(|failure| failure.context("list jobs"))?;
    let drains = daemon.client.drains().await.map_err(|error| Failure::from(error).context("list jobs"))?;
    show(&jobs, &drains, output)?;
    Ok(Exit::Done)
}

/// Prints jobs.
fn show(jobs: &[JobSummary], drains: &[DrainView], output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs, "drained": drain::of_daemon(drains).is_some()})),
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string())),
        Format::Human if jobs.is_empty() => {
            output.note("no such jobs");
            Ok(())
        }
        Format::Human => {
            output.text(&summary::table(jobs, time::now_us(), output))?;
            drain::remark(drains, output);
            Ok(())
        }
    }
}
