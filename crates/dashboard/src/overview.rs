//! What happens now: devices, queue, failures.

use maud::{Markup, html};
use rrm_spec::{JobState, JobSummary};
use rrm_store::JobFilter;

use crate::error::PageError;
use crate::event;
use crate::list::{Choice, table};
use crate::site::Site;
use crate::view::{Feed, View};
use crate::words::state;
use crate::workers::{connected, devices, running};

/// Rows of each list.
const ROWS: u32 = 10;
const EVENTS: u32 = 20;

pub(crate) async fn view(site: &Site) -> Result<View, PageError> {
    let workers = connected(site).await?;
    let running = running(site, &workers).await?;
    let next = site.store.next_in_line(ROWS).await?;
    let queued = in_order(site.store.jobs_by_id(&next).await?, &next);
    let failed = newest_in(site, JobState::Failed, ROWS).await?;
    let view = View::new("Overview")
        .fresh("counts", counts(&site.store.jobs_by_state().await?))
        .fresh("devices", devices(&workers, &running))
        .fresh("queue", html! { h2 { "Queue" } (table("Next in line", &queued, Choice::None)) })
        .fresh("failures", html! { h2 { "Failures" } (table("The newest jobs that failed", &failed, Choice::None)) })
        .still("events", event::list(&site.store.newest_events(EVENTS).await?))
        .still("about", html! { p.note { "rrmd " (site.version) } });
    Ok(View { events: Feed::All, ..view })
}

fn counts(jobs: &[(JobState, u64)]) -> Markup {
    html! {
        h2.hidden { "Jobs by state" }
        ul.counts {
            @for (it, count) in jobs {
                li { a href={ "/jobs?state=" (it.name()) } { strong { (count) } " " (state(*it)) } }
            }
        }
    }
}

async fn newest_in(site: &Site, state: JobState, limit: u32) -> Result<Vec<JobSummary>, PageError> {
    let filter = JobFilter { states: vec![state], submission: None, before: None, limit };
    Ok(site.store.jobs(&filter).await?)
}

/// As they stand in `order`: the database answers by number.
fn in_order(mut jobs: Vec<JobSummary>, order: &[rrm_spec::JobId]) -> Vec<JobSummary> {
    jobs.sort_by_key(|job| order.iter().position(|id| *id == job.id));
    jobs
}
