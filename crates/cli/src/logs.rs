//! `rrm logs`: what a job's trainer wrote.

use std::time::Duration;

use rrm_api::Follow;
use rrm_spec::{AttemptId, JobId, JobSummary};
use serde_json::json;
use tokio_stream::StreamExt;

use crate::{
    arguments::LogsArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output, printable},
};

/// Between two looks for a further attempt.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: &LogsArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let job = daemon.select_one(&arguments.job, arguments.plan).await?;
    let attempt = arguments.attempt.map(AttemptId);
    let logs = Logs { job, daemon, output };
    let printed = match arguments.follow {
        true => logs.follow().await,
        false => logs.print(attempt, Follow::No).await,
    };
    printed.map_err(|failure| failure.context(format!("read the log of job {job}")))?;
    Ok(Exit::Done)
}

struct Logs<'a> {
    job: JobId,
    daemon: &'a Daemon,
    output: Output,
}

impl Logs<'_> {
    /// Every attempt's log from the newest on, until the job has ended.
    async fn follow(&self) -> Result<(), Failure> {
        let mut printed: Option<AttemptId> = None;
        loop {
            let detail = self.daemon.patient().client.job(self.job).await?;
            let newest = detail.attempts.last().map(|attempt| attempt.id);
            match newest.filter(|newest| printed.is_none_or(|printed| printed < *newest)) {
                Some(attempt) => {
                    if printed.is_some() {
                        self.output.note(&format!("--- attempt {attempt} ---"));
                    }
                    self.print(Some(attempt), Follow::Yes).await?;
                    printed = Some(attempt);
                }
                None if detail.summary.state.is_terminal() => {
                    self.end(&detail.summary);
                    return Ok(());
                }
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn end(&self, job: &JobSummary) {
        let reason = job.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", printable(reason)));
        self.output.note(&format!("--- job {} {}{reason} ---", job.id, job.state));
    }

    async fn print(&self, attempt: Option<AttemptId>, follow: Follow) -> Result<(), Failure> {
        let daemon = if follow == Follow::Yes { self.daemon.patient() } else { self.daemon.clone() };
        let mut chunks = daemon.client.logs(self.job, attempt, 0, follow).await?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            match self.output.format() {
                Format::Human | Format::Ids => self.output.bytes(&chunk.bytes)?,
                Format::Json => self.output.json_line(json!({
                    "job": self.job,
                    "attempt": chunk.attempt,
                    "offset": chunk.offset,
                    // A piece may end inside of a character; whoever needs each byte reads without --json.
                    "text": String::from_utf8_lossy(&chunk.bytes),
                }))?,
            }
        }
        Ok(())
    }
}
