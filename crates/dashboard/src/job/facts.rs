//! What a job is, and where it stands.

use maud::{Markup, html};
use rrm_spec::{JobDetail, JobId, JobSpec, JobSummary, Stop};

use crate::time::{between, optional_moment};
use crate::words::{job_link, kind, plan_link, progress, standing};

/// Jobs that this one has to do with.
pub(super) struct Related {
    /// What it needs.
    pub(super) parents: Vec<JobSummary>,
    /// What needs it.
    pub(super) children: Vec<JobSummary>,
    /// What it does again, and what does it again.
    pub(super) tries: Vec<JobSummary>,
}

pub(super) fn facts(job: &JobDetail, related: &Related) -> Markup {
    let it = &job.summary;
    let Related { parents, children, tries } = related;
    let run = job.attempts.iter().rev().find_map(|attempt| Some((attempt, attempt.run.as_ref()?)));
    html! {
        dl.facts {
            (fact("State", html! { (standing(it)) " " (progress(it)) }))
            (wishes(it))
            @if let Some(reason) = &it.reason { (fact("Why", html! { pre.words { (reason) } })) }
            (fact("Plan", html! { (plan_link(it.submission, &it.plan)) " · " a href={ "/reports/" (it.submission) } { "report" } }))
            (fact("Owner", html! { (it.owner) }))
            (fact("What", html! { (kind(it.kind)) ": " (what(&job.spec)) }))
            (fact("Submitted", optional_moment(Some(it.created_at))))
            (fact("Started", optional_moment(it.started_at)))
            (fact("Ended", html! { (optional_moment(it.ended_at)) @if let (Some(from), Some(to)) = (it.started_at, it.ended_at) { ", after " (between(from, to)) } }))
            (fact("Priority", html! { (it.priority) }))
            @if let Some(limit) = it.time_limit { (fact("Time limit", html! { (limit) " for each attempt" })) }
            (try_link("Retry of", it.retry_of, tries))
            (try_link("Retried as", it.retried_as, tries))
            @if let Some((attempt, run)) = run {
                (fact("Ran on", html! { (attempt.node) ", " (run.device) ", " (run.threads) @if run.threads == 1 { " thread" } @else { " threads" } ", rrm " (run.code_version) }))
                @if run.parameters > 0 { (fact("Parameters", html! { (run.parameters) })) }
            }
            @if !parents.is_empty() { (fact("Needs", links(parents))) }
            @if !children.is_empty() { (fact("Needed by", links(children))) }
            @if let Some(key) = &job.content_key { (fact("Content key", html! { code.hash { (key) } })) }
        }
        @if !parents.is_empty() {
            p { a href=(beside(job, parents)) { "Compare with what it needs" } }
        }
    }
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What was asked of a job, as long as it can still be done.
fn wishes(job: &JobSummary) -> Markup {
    let asked = match job.stop.filter(|_| !job.state.is_terminal()) {
        Some(Stop::Cancel) => Some("to stop: it ends as cancelled"),
        Some(Stop::Preempt) => Some("to stop: it gives way, and is queued again"),
        Some(Stop::Timeout) => Some("to stop: its time limit has run out"),
        None => None,
    };
    html! {
        @if let Some(asked) = asked { (fact("Asked", html! { (asked) })) }
        @if job.held { (fact("Held", html! { "until it is released with " code { "rrm release " (job.id) } })) }
    }
}

fn try_link(name: &str, id: Option<JobId>, tries: &[JobSummary]) -> Markup {
    let found = tries.iter().find(|other| Some(other.id) == id);
    html! { @if let Some(other) = found { (fact(name, html! { (job_link(other)) " " (standing(other)) })) } }
}

fn links(jobs: &[JobSummary]) -> Markup {
    html! { ul.inline { @for job in jobs { li { (job_link(job)) " " (standing(job)) } } } }
}

fn beside(job: &JobDetail, parents: &[JobSummary]) -> String {
    let ids = parents.iter().map(|it| it.id).chain([job.summary.id]).map(|id| id.to_string());
    format!("/compare?jobs={}", ids.collect::<Vec<_>>().join(","))
}

/// In a few words; the spec below has all of it.
fn what(spec: &JobSpec) -> String {
    match spec {
        JobSpec::Train(spec) => {
            format!("{} of {} on {}, seed {}", spec.method.label(), spec.arch, spec.dataset.name, spec.seed)
        }
        JobSpec::Evaluate(evaluate) => {
            let threat = evaluate.attack.threat();
            let ball = format!("{} {}", threat.norm, threat.epsilon);
            let temperature =
                evaluate.temperature.map_or_else(String::new, |divisor| format!(" at temperature {divisor}"));
            let (attack, dataset) = (evaluate.attack.label(), &evaluate.dataset.name);
            format!("{attack}, {ball},{temperature} on {dataset}, seed {}", evaluate.seed)
        }
        JobSpec::Synthesize(spec) => format!("robust images of {}, {} steps", spec.dataset.name, spec.steps),
    }
}
