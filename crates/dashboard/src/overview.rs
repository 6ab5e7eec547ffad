//! What happens now: devices, queue, failures.

use maud::{Markup, html};
use rrm_spec::{JobState, JobSummary};
use rrm_store::JobFilter;

use crate::drain;
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
    let jobs = site.store.jobs_by_state().await?;
    let next = site.store.next_in_line(ROWS).await?;
    let mut line = in_order(site.store.jobs_by_id(&next).await?, &next);
    line.retain(|job| !job.held);
    let drains = site.store.drains().await?;
    let failed = newest_in(site, JobState::Failed, ROWS).await?;
    let view = View::new("Overview")
        .fresh("drain", drain::banner(&drains))
        .fresh("counts", counts(&jobs))
        .fresh("devices", devices(&workers, &running, &drains))
        .fresh("queue", queue(&line, &jobs))
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

/// Whoever sees fewer in line than are queued is told why.
fn queue(line: &[JobSummary], jobs: &[(JobState, u64)]) -> Markup {
    let queued: u64 = jobs.iter().filter(|(it, _)| *it == JobState::Queued).map(|(_, count)| count).sum();
    let shown = line.len() as u64;
    html! {
        h2 { "Queue" }
        (table("Next in line", line, Choice::None))
        // Those that a full list leaves out may be in line.
        @if shown < u64::from(ROWS) && shown < queued {
            p.note { "Queued, but held: " (queued - shown) ". " code { "rrm release" } " puts them in line." }
        }
    }
}

async fn newest_in(site: &Site, state: JobState, limit: u32) -> Result<Vec<JobSummary>, PageError> {
    let filter = JobFilter { states: vec![state], submission: None, needs: None, before: None, limit };
    Ok(site.store.jobs(&filter).await?)
}

/// As they stand in `order`: the database answers by number.
fn in_order(mut jobs: Vec<JobSummary>, order: &[rrm_spec::JobId]) -> Vec<JobSummary> {
    jobs.sort_by_key(|job| order.iter().position(|id| *id == job.id));
    jobs
}
