//! `rrm drain`, `rrm worker drain` and their opposites: who gets no new work.

use rrm_spec::{DrainHow, DrainTarget, DrainView, JobId};
use serde_json::json;

use crate::{
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    time,
};

pub(crate) async fn begin(
    target: DrainTarget,
    how: DrainHow,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let stopped = daemon.client.drain(target.clone(), how).await;
    let stopped = stopped.map_err(|error| Failure::from(error).context(format!("drain {target}")))?;
    match output.format() {
        Format::Json => output.document(json!({"drained": target, "how": how, "stopped": stopped}))?,
        Format::Ids => stopped.iter().try_for_each(|job| output.line(&job.to_string()))?,
        Format::Human => output.line(&told(&target, how, &stopped))?,
    }
    Ok(Exit::Done)
}

fn told(target: &DrainTarget, how: DrainHow, stopped: &[JobId]) -> String {
    let running = match how {
        DrainHow::Finish => "what runs goes on to its end".to_owned(),
        DrainHow::Now if stopped.is_empty() => "nothing runs".to_owned(),
        DrainHow::Now => {
            let jobs = stopped.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("told to stop after their current step, to be queued again: {jobs}")
        }
    };
    match target {
        DrainTarget::Daemon => format!("no jobs are handed out; {running}"),
        DrainTarget::Node(_) | DrainTarget::Worker(_) => format!("{target} gets no new jobs; {running}"),
    }
}

pub(crate) async fn end(target: DrainTarget, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let ended = daemon.client.undrain(target.clone()).await;
    ended.map_err(|error| Failure::from(error).context(format!("undrain {target}")))?;
    match output.format() {
        Format::Json => output.document(json!({"undrained": target}))?,
        Format::Ids => {}
        Format::Human => output.line(&match &target {
            DrainTarget::Daemon => "jobs are handed out again".to_owned(),
            DrainTarget::Node(_) | DrainTarget::Worker(_) => format!("{target} gets jobs again"),
        })?,
    }
    Ok(Exit::Done)
}

/// Since when the daemon hands out nothing, if it does not.
pub(crate) fn of_daemon(drains: &[DrainView]) -> Option<&DrainView> {
    drains.iter().find(|drain| drain.target == DrainTarget::Daemon)
}

/// What whoever looks at jobs or workers must know of it.
pub(crate) fn remark(drains: &[DrainView], output: Output) {
    if let Some(drain) = of_daemon(drains) {
        let since = time::local(drain.since);
        output.note(&format!("the daemon has handed out no jobs since {since}: `rrm undrain` ends that"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_says_what_becomes_of_what_runs() {
        let node = DrainTarget::Node("node1".into());
        assert_eq!(
            told(&node, DrainHow::Now, &[JobId(3), JobId(4)]),
            "node node1 gets no new jobs; told to stop after their current step, to be queued again: 3, 4"
        );
        assert_eq!(
            told(&DrainTarget::Daemon, DrainHow::Finish, &[]),
            "no jobs are handed out; what runs goes on to its end"
        );
    }
}
