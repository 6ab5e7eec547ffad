//! Jobs with what is known of them in memory, and with all that they were made from.

use std::collections::BTreeMap;

use rrm_spec::{JobDetail, JobId, JobState, JobSummary};

use crate::error::PageError;
use crate::site::Site;

/// Jobs that one report reads at most; a plan has ten thousand at most, and each is several queries.
const MOST: usize = 500;

/// Adds where the running ones stand.
pub(crate) fn with_progress(site: &Site, jobs: Vec<JobSummary>) -> Vec<JobSummary> {
    let add = |job: JobSummary| match job.state == JobState::Running {
        true => JobSummary { progress: site.live.progress(job.id), ..job },
        false => job,
    };
    jobs.into_iter().map(add).collect()
}

/// These jobs and all that they build on, of whatever plan, by number. Those that do not exist are an error.
pub(crate) async fn with_ancestors(site: &Site, ids: &[JobId]) -> Result<Vec<JobDetail>, PageError> {
    let mut known: BTreeMap<JobId, JobDetail> = BTreeMap::new();
    let mut open = ids.to_vec();
    while let Some(id) = open.pop() {
        if known.contains_key(&id) {
            continue;
        }
        if known.len() == MOST {
            let what = format!("This page reads {MOST} jobs at most, and these are more: use `rrm report` instead.");
            return Err(PageError::TooMany { what });
        }
        let job = site.store.job(id).await?;
        open.extend(&job.parents);
        known.insert(id, job);
    }
    Ok(known.into_values().collect())
}
