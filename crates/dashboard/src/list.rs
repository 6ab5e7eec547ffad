//! Jobs as a table.

use maud::{Markup, html};
use rrm_spec::{JobState, JobSummary};

use crate::time::{between, moment};
use crate::words::{job_link, kind, plan_link, progress, state};

/// Whether rows have boxes, to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Boxes,
    None,
}

/// A table of these jobs; a word where there are none.
pub(crate) fn table(caption: &str, jobs: &[JobSummary], choice: Choice) -> Markup {
    html! {
        @if jobs.is_empty() { p.none { (caption) ": none." } } @else {
            div.wide {
                table {
                    caption { (caption) }
                    thead { tr {
                        @if choice == Choice::Boxes { th scope="col" { span.hidden { "Compare" } } }
                        th scope="col" { "Job" } th scope="col" { "Plan" } th scope="col" { "Owner" } th scope="col" { "State" }
                        th scope="col" { "Kind" } th scope="col" { "Progress" } th scope="col" { "Submitted" }
                        th scope="col" { "Took" } th scope="col" { "Why" }
                    } }
                    tbody { @for job in jobs { (row(job, choice)) } }
                }
            }
        }
    }
}

fn row(job: &JobSummary, choice: Choice) -> Markup {
    html! {
        tr {
            @if choice == Choice::Boxes {
                td { input type="checkbox" name="jobs" value=(job.id) aria-label={ "Compare job " (job.id) }; }
            }
            th scope="row" { (job_link(job)) }
            td { (plan_link(job.submission, &job.plan)) }
            td { (job.owner) }
            td { (state(job.state)) }
            td { (kind(job.kind)) }
            td { (progress(job)) }
            td { (moment(job.created_at)) }
            td { (took(job)) }
            td.words { (why(job)) }
        }
    }
}

fn took(job: &JobSummary) -> String {
    match (job.started_at, job.ended_at) {
        (Some(started), Some(ended)) => between(started, ended),
        _ => String::new(),
    }
}

/// Why it stands where it does, in a line.
pub(crate) fn why(job: &JobSummary) -> String {
    let stopping = job.stop.is_some() && job.state == JobState::Running;
    let reason = job.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
    match (stopping, reason.char_indices().nth(120)) {
        (true, _) => "told to stop".to_owned(),
        (false, Some((end, _))) => format!("{}…", &reason[..end]),
        (false, None) => reason.to_owned(),
    }
}
