//! One job: what it is, what became of it, how it learned, what it said.

mod curves;
mod facts;
mod log;
mod results;
mod spec;
mod timeline;
mod tries;

use rrm_spec::{JobDetail, JobId, JobSummary};

use self::facts::Related;
use crate::error::PageError;
use crate::event;
use crate::known::with_progress;
use crate::site::Site;
use crate::view::{Feed, View};

/// Events in the list when the page is opened; the database has all of them.
const EVENTS: u32 = 50;
/// Jobs that need this one and are named; a sweep may have hundreds.
const CHILDREN: u32 = 30;

pub(crate) async fn view(site: &Site, id: JobId, against: Option<JobId>) -> Result<View, PageError> {
    let mut job = site.store.job(id).await?;
    job.summary = with_progress(site, vec![job.summary.clone()]).pop().unwrap_or(job.summary);
    let related = related(site, &job).await?;
    let states = site.store.state_events(id).await?;
    let other = match against {
        Some(other) => Some(site.store.job(other).await?),
        None => None,
    };
    let view = View::new(format!("Job {id} · {}", job.summary.name))
        .fresh("facts", facts::facts(&job, &related))
        .fresh("timeline", timeline::timeline(&states, job.summary.ended_at))
        .fresh("curves", curves::curves(&job))
        .fresh("results", results::results(&job))
        .fresh("log", log::tail(site, &job).await?)
        .fresh("attempts", tries::attempts(&job))
        .fresh("checkpoints", tries::checkpoints(&job))
        .still("spec", spec::spec(&job, other.as_ref(), suggestion(&job)))
        .still("events", event::list(&site.store.newest_job_events(id, EVENTS).await?));
    Ok(View { events: Feed::Job(id), has_log: true, ..view })
}

async fn related(site: &Site, job: &JobDetail) -> Result<Related, PageError> {
    let JobSummary { id, retry_of, retried_as, .. } = &job.summary;
    let tries: Vec<JobId> = [*retry_of, *retried_as].into_iter().flatten().collect();
    Ok(Related {
        parents: site.store.jobs_by_id(&job.parents).await?,
        children: site.store.jobs_by_id(&site.store.children(*id, CHILDREN).await?).await?,
        tries: site.store.jobs_by_id(&tries).await?,
    })
}

/// A job that is worth a look beside this one: what it learned from, or the one before it.
fn suggestion(job: &JobDetail) -> Option<JobId> {
    let before = (job.summary.id.0 > 1).then(|| JobId(job.summary.id.0 - 1));
    job.parents.last().copied().or(before)
}
