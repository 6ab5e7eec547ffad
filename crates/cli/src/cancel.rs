//! `rrm cancel`: ends jobs that nobody needs any more.

use std::collections::BTreeMap;

use rrm_spec::{JobId, JobState, JobSummary};
use serde_json::json;

use crate::{
    arguments::CancelArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    summary,
};

pub(crate) async fn run(arguments: &CancelArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let named = daemon.select_to_change(&arguments.jobs, arguments.plan, output).await;
    let named = named.map_err(|failure| failure.context("cancel jobs"))?;
    let before: BTreeMap<JobId, JobState> = named.iter().map(|job| (job.id, job.state)).collect();
    let jobs = daemon.client.cancel(before.keys().copied().collect()).await;
    let jobs = jobs.map_err(|error| Failure::from(error).context("cancel jobs"))?;
    let had_ended = |job: &JobSummary| became(before.get(&job.id).copied(), job) == Became::LeftAsItWas;
    match output.format() {
        Format::Json => {
            let (ended, cancelled): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| had_ended(job));
            let ids = |jobs: Vec<&JobSummary>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
            output.document(json!({"jobs": jobs, "cancelled": ids(cancelled), "had_ended": ids(ended)}))?;
        }
        Format::Ids => {
            let mut cancelled = jobs.iter().filter(|job| !had_ended(job));
            cancelled.try_for_each(|job| output.line(&job.id.to_string()))?;
        }
        Format::Human => {
            for job in &jobs {
                let became = became(before.get(&job.id).copied(), job).text(job);
                output.line(&format!("{}  {}  {became}", job.id, job.name))?;
            }
            if jobs.iter().any(|job| job.state == JobState::Running) {
                output.note("what runs ends after its current step; `rrm wait` waits for it");
            }
        }
    }
    Ok(Exit::Done)
}

/// What a cancellation did to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    /// It is cancelled, or will be.
    Cancelled,
    /// It had ended already.
    LeftAsItWas,
}

fn became(before: Option<JobState>, job: &JobSummary) -> Became {
    match (before, job.state) {
        (Some(before), _) if before.is_terminal() => Became::LeftAsItWas,
        // It may have ended in between. One that is skipped needed another that was cancelled with it.
        (_, JobState::Succeeded | JobState::Failed) => Became::LeftAsItWas,
        _ => Became::Cancelled,
    }
}

impl Became {
    fn text(self, job: &JobSummary) -> String {
        match self {
            Self::Cancelled => summary::state(job),
            Self::LeftAsItWas => format!("had ended already: {}", job.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::job;

    #[test]
    fn what_had_ended_is_told_from_what_was_cancelled() {
        use JobState::{Cancelled, Queued, Running, Succeeded};
        let became = |before, after| became(Some(before), &job(12, "student", after));
        assert_eq!(became(Queued, Cancelled), Became::Cancelled);
        assert_eq!(became(Running, Running), Became::Cancelled);
        assert_eq!(became(Cancelled, Cancelled), Became::LeftAsItWas);
        assert_eq!(became(Running, Succeeded), Became::LeftAsItWas, "it was faster");
    }
}
