//! Plans as they were submitted.

use maud::{Markup, html};
use rrm_spec::{JobState, SubmissionId};
use rrm_store::{PlanFilter, PlanView};

use crate::error::PageError;
use crate::site::Site;
use crate::time::moment;
use crate::view::View;
use crate::words::{plan_link, state};

/// Plans on one page.
const PAGE: u32 = 50;

pub(crate) async fn view(site: &Site, before: Option<SubmissionId>) -> Result<View, PageError> {
    let plans = site.store.plans(PlanFilter { before, limit: PAGE }).await?;
    let next = if plans.len() == PAGE as usize { plans.last().map(|plan| plan.id) } else { None };
    Ok(View::new("Plans").fresh("list", list(&plans, next)))
}

fn list(plans: &[PlanView], next: Option<SubmissionId>) -> Markup {
    html! {
        @if plans.is_empty() { p.none { "None: submit one with " code { "rrm submit plan.toml" } "." } } @else {
            div.wide {
                table {
                    caption { "Plans, newest first" }
                    thead { tr { th scope="col" { "Number" } th scope="col" { "Plan" } th scope="col" { "Submitted" } th scope="col" { "Jobs" } th scope="col" { "Report" } } }
                    tbody { @for plan in plans {
                        tr {
                            td { (plan.id) }
                            th scope="row" { (plan_link(plan.id, &plan.name)) }
                            td { (moment(plan.created_at)) " from " (plan.host) }
                            td { (counts(plan)) }
                            td { a href={ "/reports/" (plan.id) } { "report" } }
                        }
                    } }
                }
            }
        }
        @if let Some(next) = next { p { a rel="next" href={ "/plans?before=" (next) } { "Older plans" } } }
    }
}

/// How many jobs are in each state.
pub(crate) fn counts(plan: &PlanView) -> Markup {
    let some = JobState::ALL.into_iter().filter_map(|it| Some((it, *plan.jobs.get(it.name())?)));
    html! {
        ul.inline {
            @for (it, count) in some { li { (count) " " (state(it)) } }
            @if plan.reused > 0 { li { (plan.reused) " done before" } }
        }
    }
}
