//! `rrm explain`: why a job does not run.

use rrm_spec::{Ahead, AheadReason, Demand, DeviceStanding, Explanation, JobState, Standing, WorkerStanding};
use serde_json::json;

use crate::{
    arguments::ExplainArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output, Tone, printable},
    time,
};

pub(crate) async fn run(arguments: &ExplainArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let id = daemon.select_one(&arguments.job, arguments.plan).await?;
    let explanation = daemon.client.explain(id).await;
    let explanation = explanation.map_err(|error| Failure::from(error).context("explain a job"))?;
    match output.format() {
        Format::Json => output.document(json!({"explanation": explanation}))?,
        Format::Ids => output.line(&explanation.job.to_string())?,
        Format::Human => output.text(&text(&explanation, output))?,
    }
    Ok(Exit::Done)
}

fn text(explanation: &Explanation, output: Output) -> String {
    let Explanation { job, name, state, since, reason, .. } = explanation;
    let mut lines = vec![format!(
        "job {job} {} is {} since {}",
        output.paint(&printable(name), Tone::Strong),
        output.paint(state.name(), Tone::Busy),
        time::local(*since),
    )];
    lines.extend(reason.as_ref().filter(|_| says_more(*state)).map(|reason| printable(reason)));
    lines.extend(parents(explanation));
    if explanation.held {
        lines.push(format!("it is held: `rrm release {job}`"));
    }
    if explanation.drained && matches!(state, JobState::Waiting | JobState::Queued) {
        lines.push("the daemon hands no jobs out: `rrm undrain`".to_owned());
    }
    lines.extend(
        explanation.not_before.map(|until| {
            format!("it pauses until {} after an error of the machine on which it ran", time::local(until))
        }),
    );
    if matches!(state, JobState::Waiting | JobState::Queued) {
        let demand = Demand { device: explanation.device, resources: explanation.resources.clone() };
        lines.push(format!("it asks for {demand}"));
    }
    lines.extend(explanation.ahead.as_ref().and_then(ahead));
    lines.extend(workers(explanation));
    lines.join("\n") + "\n"
}

/// Of a job that waits the reason names one parent, of which the list of all says more.
fn says_more(state: JobState) -> bool {
    match state {
        JobState::Waiting => false,
        JobState::Queued
        | JobState::Running
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Skipped => true,
    }
}

fn parents(explanation: &Explanation) -> Vec<String> {
    let line = |parent: &rrm_spec::ParentView| {
        format!("it waits for job {} {}, which is {}", parent.id, printable(&parent.name), parent.state)
    };
    match explanation.state {
        JobState::Waiting => explanation.parents.iter().map(line).collect(),
        JobState::Queued
        | JobState::Running
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Skipped => Vec::new(),
    }
}

fn ahead(ahead: &Ahead) -> Option<String> {
    let groups: Vec<String> = ahead
        .groups
        .iter()
        .map(|group| {
            let why = match group.why {
                AheadReason::Priority => "of higher priority",
                AheadReason::Usage => "whose owner has used less",
                AheadReason::Age => "that are older",
            };
            format!("{} of {} {why}", group.jobs, group.owner)
        })
        .collect();
    let more = if ahead.is_more { "more than " } else { "" };
    (!groups.is_empty()).then(|| format!("{more}{} queued jobs come before it: {}", ahead.jobs, groups.join(", ")))
}

fn workers(explanation: &Explanation) -> Vec<String> {
    let is_idle = matches!(explanation.state, JobState::Waiting | JobState::Queued);
    match explanation.workers.as_slice() {
        [] if is_idle => vec!["no worker is connected: start one with `rrm-worker serve`".to_owned()],
        [] => Vec::new(),
        workers if !workers.iter().any(WorkerStanding::fits) => {
            let none = "no connected worker could ever run it:".to_owned();
            std::iter::once(none).chain(workers.iter().flat_map(worker)).collect()
        }
        workers => workers.iter().flat_map(worker).collect(),
    }
}

fn worker(worker: &WorkerStanding) -> Vec<String> {
    let WorkerStanding { worker: id, node, lacks_labels, fitting, wanted, drained, devices } = worker;
    let drained = if *drained { ", which is drained" } else { "" };
    let name = format!("worker {id} on {}{drained}", printable(node));
    if !lacks_labels.is_empty() {
        let labels = lacks_labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return vec![format!("{name}: has not the label {labels}")];
    }
    let too_few = (fitting < wanted && *wanted > 1).then(|| format!(": only {fitting} of the {wanted} devices needed"));
    let head = format!("{name}{}", too_few.unwrap_or_default());
    std::iter::once(head).chain(devices.iter().map(device)).collect()
}

fn device(device: &DeviceStanding) -> String {
    let standing = match &device.standing {
        Standing::Free => "is free".to_owned(),
        Standing::OtherKind => "is of another kind".to_owned(),
        Standing::TooSmall { has_mib: Some(has), needs_mib } => {
            format!("has {has} MiB of memory, {needs_mib} are needed")
        }
        Standing::TooSmall { has_mib: None, needs_mib } => {
            format!("has nobody knows how much memory, {needs_mib} MiB are needed")
        }
        Standing::OutOfService { since, reason } => {
            format!("is out of service since {}: {}", time::local(*since), printable(reason))
        }
        Standing::Busy { job, name, since, expected_end } => {
            let until = expected_end.map_or_else(String::new, |end| format!(", expected to end {}", time::local(end)));
            format!("runs job {job} {} since {}{until}", printable(name), time::local(*since))
        }
        Standing::Reserved { job } => format!("goes to job {job} first"),
    };
    format!("  {} {standing}", device.device)
}

#[cfg(test)]
mod tests {
    use rrm_spec::{AheadGroup, DeviceRequest, JobId, ParentView, ResourceRequest, UserName, WorkerId};

    use super::*;

    fn queued() -> Explanation {
        let group = |why, jobs| AheadGroup { owner: "ada".parse().unwrap(), why, jobs };
        let groups = vec![group(AheadReason::Priority, 2), group(AheadReason::Usage, 1)];
        let device = |device: &str, standing| DeviceStanding { device: device.into(), standing };
        let busy = Standing::Busy { job: JobId(7), name: "teacher".into(), since: 0, expected_end: Some(1) };
        let devices = vec![
            device("cpu", Standing::OtherKind),
            device("cuda:0", busy),
            device("cuda:1", Standing::TooSmall { has_mib: Some(8000), needs_mib: 10_240 }),
            device("cuda:2", Standing::OutOfService { since: 0, reason: "jobs 1, 2, 3 failed".into() }),
            device("cuda:3", Standing::Reserved { job: JobId(5) }),
        ];
        let worker = |lacks_labels, devices| WorkerStanding {
            worker: WorkerId(1),
            node: "lab1".into(),
            lacks_labels,
            fitting: 1,
            wanted: 1,
            drained: false,
            devices,
        };
        Explanation {
            job: JobId(12),
            name: "student".into(),
            owner: UserName::lab(),
            state: JobState::Queued,
            since: 0,
            reason: Some("lost: the worker was silent for too long".into()),
            priority: 0,
            device: DeviceRequest::Cuda,
            resources: ResourceRequest { memory_gib: Some(10), ..ResourceRequest::default() },
            parents: vec![],
            not_before: Some(1),
            held: false,
            drained: false,
            ahead: Some(Ahead { jobs: 3, is_more: false, groups }),
            workers: vec![worker(vec![], devices), worker(vec!["a100".parse().unwrap()], vec![])],
        }
    }

    #[test]
    fn everything_that_keeps_a_queued_job_is_told() {
        let text = text(&queued(), Output::new(Format::Json));
        for part in [
            "job 12 student is queued since",
            "lost: the worker was silent",
            "it pauses until",
            "it asks for a CUDA device with 10 GiB",
            "3 queued jobs come before it: 2 of ada of higher priority, 1 of ada whose owner has used less",
            "cpu is of another kind",
            "cuda:0 runs job 7 teacher since",
            "cuda:1 has 8000 MiB of memory, 10240 are needed",
            "cuda:2 is out of service since",
            "cuda:3 goes to job 5 first",
            "has not the label a100",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("no connected worker"), "{text}");
    }

    #[test]
    fn a_job_that_waits_names_its_parents_with_their_states() {
        let parents = vec![ParentView { id: JobId(3), name: "teacher".into(), state: JobState::Running }];
        let waiting = Explanation { state: JobState::Waiting, parents, ahead: None, workers: vec![], ..queued() };
        let text = text(&waiting, Output::new(Format::Json));
        assert!(text.contains("it waits for job 3 teacher, which is running"), "{text}");
        assert!(text.contains("no worker is connected"), "{text}");
    }

    #[test]
    fn what_people_wished_is_told_with_the_way_back() {
        let mut explanation = Explanation { held: true, drained: true, ..queued() };
        explanation.workers[0].drained = true;
        let text = text(&explanation, Output::new(Format::Json));
        for part in ["it is held: `rrm release 12`", "`rrm undrain`", "worker 1 on lab1, which is drained"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_job_that_nobody_could_run_says_so_first() {
        let workers = queued().workers.split_off(1);
        let text = text(&Explanation { workers, ..queued() }, Output::new(Format::Json));
        assert!(
            text.contains("no connected worker could ever run it:\nworker 1 on lab1: has not the label a100"),
            "{text}"
        );
    }
}
