//! What a job is, and where it stands.

use maud::{Markup, html};
use rrm_spec::{JobDetail, JobSpec, JobSummary};

use crate::time::{between, optional_moment};
use crate::words::{job_link, kind, plan_link, progress, state};

pub(super) fn facts(job: &JobDetail, parents: &[JobSummary], children: &[JobSummary]) -> Markup {
    let it = &job.summary;
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let run = job.attempts.iter().rev().find_map(|attempt| Some((attempt, attempt.run.as_ref()?)));
    html! {
        dl.facts {
            (fact("State", html! { (state(it.state)) " " (progress(it)) }))
            @if it.stop.is_some() { (fact("Asked", html! { "to stop" })) }
            @if let Some(reason) = &it.reason { (fact("Why", html! { pre.words { (reason) } })) }
            (fact("Plan", html! { (plan_link(it.submission, &it.plan)) " · " a href={ "/reports/" (it.submission) } { "report" } }))
            (fact("Owner", html! { (it.owner) }))
            (fact("What", html! { (kind(it.kind)) ": " (what(&job.spec)) }))
            (fact("Submitted", optional_moment(Some(it.created_at))))
            (fact("Started", optional_moment(it.started_at)))
            (fact("Ended", html! { (optional_moment(it.ended_at)) @if let (Some(from), Some(to)) = (it.started_at, it.ended_at) { ", after " (between(from, to)) } }))
            (fact("Priority", html! { (it.priority) }))
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

fn links(jobs: &[JobSummary]) -> Markup {
    html! { ul.inline { @for job in jobs { li { (job_link(job)) " " (state(job.state)) } } } }
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
            format!("{}, {ball}, on {}, seed {}", evaluate.attack.label(), evaluate.dataset.name, evaluate.seed)
        }
        JobSpec::Synthesize(spec) => format!("robust images of {}, {} steps", spec.dataset.name, spec.steps),
    }
}
