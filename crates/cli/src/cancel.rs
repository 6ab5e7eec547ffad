//! `rrm cancel`: ends jobs that nobody needs any more.

use rrm_spec::JobState;
use serde_json::json;

use crate::{
    arguments::CancelArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    summary,
};

pub(crate) async fn run(arguments: &CancelArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let selected = daemon.select(&arguments.jobs, arguments.plan).await.map_err(|f| f.context("cancel jobs"))?;
    let ids = selected.iter().map(|job| job.id).collect();
    let jobs = daemon.client.cancel(ids).await.map_err(|error| Failure::from(error).context("cancel jobs"))?;
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs}))?,
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string()))?,
        Format::Human => {
            for job in &jobs {
                output.line(&format!("{}  {}  {}", job.id, job.name, summary::state(job)))?;
            }
            if jobs.iter().any(|job| job.state == JobState::Running) {
                output.note("what runs ends after its current step; `rrm wait` waits for it");
            }
        }
    }
    Ok(Exit::Done)
}
