//! One plan: its jobs, and how they depend on each other.

use maud::html;
use rrm_spec::{JobId, SubmissionId};

use crate::error::PageError;
use crate::graph::{Node, drawing};
use crate::known::with_progress;
use crate::list::{Choice, table};
use crate::plans::counts;
use crate::site::Site;
use crate::time::moment;
use crate::view::View;

/// More jobs than this are left to the list of jobs.
const LISTED: usize = 200;

pub(crate) async fn view(site: &Site, id: SubmissionId) -> Result<View, PageError> {
    let plan = site.store.plan(id).await?;
    let mut ids = site.store.jobs_of(id).await?;
    ids.sort_unstable();
    ids.dedup();
    let all = ids.len();
    ids.truncate(LISTED);
    let edges = site.store.edges(&ids).await?;
    // What a plan's jobs need may be of another one.
    let outside: Vec<JobId> = edges.iter().map(|edge| edge.parent).filter(|parent| !ids.contains(parent)).collect();
    let jobs = with_progress(site, site.store.jobs_by_id(&[ids, outside].concat()).await?);
    let nodes: Vec<Node<'_>> = jobs.iter().map(|job| Node { job, is_outside: job.submission != id }).collect();
    let facts = html! {
        p { "Plan " (id) ", submitted " (moment(plan.created_at)) " from " (plan.host) "." }
        (counts(&plan))
        p {
            a href={ "/reports/" (id) } { "Report" } " · "
            a href={ "/jobs?plan=" (id) } { "List of its jobs" }
        }
        @if all > LISTED { p.note { "These are the first " (LISTED) " of its " (all) " jobs." } }
    };
    Ok(View::new(format!("Plan {id} · {}", plan.name))
        .fresh("facts", facts)
        .fresh("graph", drawing(&nodes, &edges))
        .fresh("jobs", html! { h2 { "Jobs" } (table("Jobs of the plan, and those of others that they need", &jobs, Choice::None)) }))
}
