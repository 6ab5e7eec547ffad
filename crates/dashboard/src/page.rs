//! Which page is asked for.

use axum::http::Uri;
use rrm_spec::{JobId, JobState, SubmissionId};

use crate::error::PageError;
use crate::site::Site;
use crate::view::View;
use crate::{compare, job, jobs, overview, plan, plans, workers};

/// Jobs that one comparison shows: more curves than colours and shapes nobody tells apart.
pub(crate) const COMPARED: usize = 8;

/// A page with its parameters: all that is needed to put it together, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Overview,
    Jobs(JobsQuery),
    Job {
        id: JobId,
        /// The job whose spec stands beside this one's.
        against: Option<JobId>,
    },
    Compare(Vec<JobId>),
    Plans {
        before: Option<SubmissionId>,
    },
    Plan(SubmissionId),
    Workers,
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobsQuery {
    pub(crate) states: Vec<JobState>,
    pub(crate) plan: Option<SubmissionId>,
    pub(crate) text: String,
    pub(crate) before: Option<JobId>,
}

impl Page {
    pub(crate) async fn view(&self, site: &Site) -> Result<View, PageError> {
        let _desk = site.desks.acquire().await.expect("nobody closes the semaphore");
        match self {
            Self::Overview => overview::view(site).await,
            Self::Jobs(query) => jobs::view(site, query).await,
            Self::Job { id, against } => job::view(site, *id, *against).await,
            Self::Compare(jobs) => compare::view(site, jobs).await,
            Self::Plans { before } => plans::view(site, *before).await,
            Self::Plan(id) => plan::view(site, *id).await,
            Self::Workers => workers::view(site).await,
        }
    }
}

/// The parameters of an address, in order; a name may come several times, as from a form's boxes.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Result<Self, PageError> {
        let pairs = axum::extract::Query::try_from_uri(uri).map_err(|_| PageError::Invalid {
            field: "the address",
            value: uri.query().unwrap_or_default().to_owned(),
            allowed: "pairs of name and value, such as ?state=running",
        })?;
        Ok(Self(pairs.0))
    }

    /// What was given under that name; empty fields of forms count as nothing.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.trim().is_empty()).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.all(name).last().unwrap_or_default().chars().take(200).collect()
    }

    pub(crate) fn id<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, PageError> {
        self.all(name).last().map(|text| number(name, text)).transpose()
    }

    pub(crate) fn states(&self) -> Result<Vec<JobState>, PageError> {
        let state = |text: &str| {
            JobState::from_name(text).ok_or_else(|| PageError::Invalid {
                field: "state",
                value: text.to_owned(),
                allowed: "waiting, queued, running, succeeded, failed, cancelled or skipped",
            })
        };
        self.all("state").map(state).collect()
    }

    /// `jobs=1,2,3`, or `jobs=1&jobs=2`; each once, in the order in which they came.
    pub(crate) fn jobs(&self) -> Result<Vec<JobId>, PageError> {
        let mut jobs = Vec::new();
        for text in self.all("jobs").flat_map(|list| list.split([',', ' ', '+'])).filter(|text| !text.is_empty()) {
            let id = number("jobs", text.trim_start_matches('#'))?;
            if !jobs.contains(&id) {
                jobs.push(id);
            }
        }
        match jobs.len() <= COMPARED {
            true => Ok(jobs),
            false => Err(PageError::Invalid {
                field: "jobs",
                value: format!("{} jobs", jobs.len()),
                allowed: "at most 8 jobs: more curves cannot be told apart",
            }),
        }
    }
}

pub(crate) fn number<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, PageError> {
    let allowed = "a positive whole number";
    text.parse().map_err(|_| PageError::Invalid { field, value: text.chars().take(100).collect(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn jobs_come_as_a_list_or_one_by_one_and_each_counts_once() {
        for query in ["jobs=3,1,3", "jobs=3&jobs=1", "jobs=%233+1", "jobs=&jobs=3,1"] {
            assert_eq!(parameters(query).jobs().unwrap(), [JobId(3), JobId(1)], "{query}");
        }
        assert!(parameters("jobs=1,x").jobs().unwrap_err().to_string().contains("jobs = \"x\""));
        assert!(parameters("jobs=1,2,3,4,5,6,7,8,9").jobs().unwrap_err().to_string().contains("9 jobs"));
    }

    #[test]
    fn an_unknown_state_is_refused_by_name_and_empty_fields_are_none() {
        assert_eq!(parameters("state=&plan=&text=+").states().unwrap(), []);
        assert_eq!(parameters("plan=").id::<SubmissionId>("plan").unwrap(), None);
        assert!(parameters("state=lost").states().unwrap_err().to_string().contains("\"lost\""));
        assert!(parameters("plan=-1").id::<SubmissionId>("plan").is_err());
    }
}
