//! `rrm preempt`: running jobs give way.

use rrm_spec::{AfterPreemption, JobState};
use serde_json::json;

use crate::{
    arguments::PreemptArguments,
    change::chosen,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    request::Request,
    summary,
};

pub(crate) async fn run(
    arguments: &PreemptArguments,
    request: &Request,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let ids = chosen(&arguments.jobs, daemon, output, |job| job.state == JobState::Running).await;
    let ids = ids.map_err(|failure| failure.context("preempt jobs"))?;
    let then = if arguments.hold { AfterPreemption::Hold } else { AfterPreemption::Queue };
    let jobs = request.send(async |id| daemon.client.preempt(id, ids, then).await).await;
    let jobs = jobs.map_err(|failure| failure.context("preempt jobs"))?;
    match output.format() {
        Format::Json => output.document(json!({"jobs": jobs}))?,
        Format::Ids => jobs.iter().try_for_each(|job| output.line(&job.id.to_string()))?,
        Format::Human => {
            for job in &jobs {
                output.line(&format!("{}  {}  {}", job.id, job.name, summary::state(job)))?;
            }
            if jobs.iter().any(|job| job.state == JobState::Running) {
                output.note("what runs stops after its current step, and goes on from its last checkpoint later");
            }
        }
    }
    Ok(Exit::Done)
}
