//! Jobs as a table.

use maud::{Markup, html};
use rrm_spec::{JobState, JobSummary};

use crate::time::{between, moment};
use crate::words::{job_link, kind, number_link, plan_link, progress, standing};

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
                        th scope="col" { "Took" } th scope="col" { "Remark" }
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
            td { (standing(job)) }
            td { (kind(job.kind)) }
            td { (progress(job)) }
            td { (moment(job.created_at)) }
            td { (took(job)) }
            td.words { (remark(job)) }
        }
    }
}

fn took(job: &JobSummary) -> String {
    match (job.started_at, job.ended_at) {
        (Some(started), Some(ended)) => between(started, ended),
        _ => String::new(),
    }
}

/// What it does again, what does it again, and why it stands where it does.
fn remark(job: &JobSummary) -> Markup {
    let why = Some(why(job)).filter(|why| !why.is_empty());
    let parts = [
        job.retry_of.map(|of| html! { "retry of " (number_link(of)) }),
        job.retried_as.map(|by| html! { "retried as " (number_link(by)) }),
        why.map(|why| html! { (why) }),
    ];
    html! { @for (place, part) in parts.into_iter().flatten().enumerate() { @if place > 0 { "; " } (part) } }
}

/// In a line.
fn why(job: &JobSummary) -> String {
    let stopping = job.stop.is_some() && job.state == JobState::Running;
    let reason = job.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
    match (stopping, reason.char_indices().nth(120)) {
        (true, _) => "told to stop".to_owned(),
        (false, Some((end, _))) => format!("{}…", &reason[..end]),
        (false, None) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::JobId;

    use super::*;
    use crate::words::tests::job;

    #[test]
    fn both_ends_of_a_retry_are_linked_before_the_reason() {
        let reason = Some("<script>".to_owned());
        let failed = JobSummary { retried_as: Some(JobId(31)), reason, ..job(12, JobState::Failed) };
        assert_eq!(remark(&failed).0, "retried as <a href=\"/jobs/31\">#31</a>; &lt;script&gt;");
        let again = JobSummary { retry_of: Some(JobId(12)), ..job(31, JobState::Queued) };
        assert_eq!(remark(&again).0, "retry of <a href=\"/jobs/12\">#12</a>");
        assert_eq!(remark(&job(1, JobState::Queued)).0, "");
    }
}
