//! `rrm retry`: jobs that ended without success, done again.

use rrm_spec::{Dependents, JobState, JobSummary, Retried, RetryBegin, RetryWish};
use serde_json::json;

use crate::{
    arguments::RetryArguments,
    change::chosen,
    columns::{Columns, Side},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    request::Request,
};

pub(crate) async fn run(
    arguments: &RetryArguments,
    request: &Request,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let ids = chosen(&arguments.jobs, daemon, output, can_be_retried).await;
    let ids = ids.map_err(|failure| failure.context("retry jobs"))?;
    let retried = request.send(async |id| daemon.client.retry(id, ids, wish(arguments)).await).await;
    let retried = retried.map_err(|failure| failure.context("retry jobs"))?;
    match output.format() {
        Format::Json => output.document(json!({"retried": retried}))?,
        Format::Ids => retried.iter().try_for_each(|it| output.line(&it.job.to_string()))?,
        Format::Human => output.text(&table(&retried, output))?,
    }
    Ok(Exit::Done)
}

fn can_be_retried(job: &JobSummary) -> bool {
    match job.state {
        JobState::Failed | JobState::Cancelled | JobState::Skipped => true,
        JobState::Waiting | JobState::Queued | JobState::Running | JobState::Succeeded => false,
    }
}

fn wish(arguments: &RetryArguments) -> RetryWish {
    RetryWish {
        begin: if arguments.from_scratch { RetryBegin::Scratch } else { RetryBegin::Checkpoint },
        dependents: if arguments.with_dependents { Dependents::Retry } else { Dependents::Leave },
        time_limit: arguments.time_limit,
    }
}

fn table(retried: &[Retried], output: Output) -> String {
    let mut columns =
        Columns::new([("id", Side::Right), ("name", Side::Left), ("retry of", Side::Right), ("begins", Side::Left)]);
    for it in retried {
        let begins = match it.resumes_after {
            0 => "at the beginning".to_owned(),
            epoch => format!("after checkpoint {epoch}"),
        };
        columns.push([
            it.job.to_string().into(),
            it.name.as_str().into(),
            it.retry_of.to_string().into(),
            begins.into(),
        ]);
    }
    columns.render(output)
}

#[cfg(test)]
mod tests {
    use rrm_spec::JobId;

    use super::*;

    #[test]
    fn a_receipt_says_what_stands_for_what_and_where_it_begins() {
        let it = |resumes_after| Retried { job: JobId(31), retry_of: JobId(12), name: "student".into(), resumes_after };
        let text = table(&[it(0), it(7)], Output::new(Format::Json));
        assert!(text.contains("31  student        12  at the beginning"), "{text}");
        assert!(text.contains("after checkpoint 7"), "{text}");
    }
}
