//! `rrm report suspicion`: whether a network's robustness may be one of hidden gradients.

use rrm_spec::{JobDetail, JobId, JobKind, JobRef, JobSpec, JobState, ModelSource};
use serde_json::json;

use crate::{
    arguments::SuspicionArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::PlanSelector,
};

pub(crate) async fn run(arguments: &SuspicionArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let id = daemon.select_one(&arguments.job, arguments.plan).await?;
    let job = read(id, daemon).await?;
    let others = around(&job, daemon).await?;
    let suspicion = rrm_report::suspicion(&job, &others).ok_or_else(|| no_network(&job))?;
    match output.format() {
        Format::Json => output.document(json!({ "suspicion": suspicion }))?,
        Format::Human => output.text(&suspicion.to_text())?,
        Format::Ids => suspicion.jobs.iter().try_for_each(|job| output.line(&job.to_string()))?,
    }
    Ok(Exit::Done)
}

async fn read(id: JobId, daemon: &Daemon) -> Result<JobDetail, Failure> {
    daemon.client.job(id).await.map_err(|error| Failure::from(error).context(format!("read job {id}")))
}

/// The network's own job, and its evaluations, in whichever plans; those of a network that no job has trained, in the job's own plan.
async fn around(job: &JobDetail, daemon: &Daemon) -> Result<Vec<JobDetail>, Failure> {
    let (mut found, succeeded) = (Vec::new(), [JobState::Succeeded]);
    let jobs = match trained_by(job) {
        Some(network) => {
            found.push(read(network, daemon).await?);
            daemon.list_needing(network, &succeeded, usize::MAX).await?
        }
        None => daemon.list_plan(&succeeded, PlanSelector::Id(job.summary.submission), usize::MAX).await?,
    };
    for summary in jobs.iter().filter(|summary| summary.kind == JobKind::Evaluate) {
        found.push(read(summary.id, daemon).await?);
    }
    Ok(found)
}

/// The job that trained the network that a job trains or evaluates.
fn trained_by(job: &JobDetail) -> Option<JobId> {
    match &job.spec {
        JobSpec::Train(_) => Some(job.summary.id),
        JobSpec::Evaluate(spec) => match &spec.model {
            ModelSource::Job(JobRef::Id(id)) => Some(*id),
            ModelSource::Job(JobRef::Name(_)) | ModelSource::Checkpoint(_) | ModelSource::Artifact(_) => None,
        },
        JobSpec::Synthesize(_) => None,
    }
}

fn no_network(job: &JobDetail) -> Failure {
    let what = format!("job {} is a synthesis: there is no network in it to be suspicious of", job.summary.id);
    Failure::new(Exit::Invalid, what).next("name a training or an evaluation")
}
