//! A job's spec, alone and beside another one.

use maud::{Markup, html};
use rrm_spec::{JobDetail, JobId};

use crate::diff;

pub(super) fn spec(job: &JobDetail, other: Option<&JobDetail>, suggested: Option<JobId>) -> Markup {
    // A spec is always JSON: it travels as such.
    let text = serde_json::to_string_pretty(&job.spec).unwrap_or_default();
    let shown = other.map(|it| it.summary.id).or(suggested);
    html! {
        h2 { "Spec" }
        form method="get" action={ "/jobs/" (job.summary.id) "#spec" } {
            label { "Beside job " input type="text" name="against" inputmode="numeric" size="8" value=[shown]; }
            " " button type="submit" { "Show the difference" }
        }
        @if let Some(other) = other { (diff::table(job, other)) }
        details { summary { "The whole spec as JSON" } pre.spec tabindex="0" { (text) } }
    }
}
