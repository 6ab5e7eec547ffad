//! Where the watched jobs stand.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rrm_spec::{EventView, JobId, JobState, JobSummary, Progress};

use super::happening::{self, Happening, What};
use crate::eta::Eta;

/// The watched jobs.
pub(super) struct Board {
    pub(super) plan: String,
    jobs: BTreeMap<JobId, Standing>,
    begun: Instant,
}

/// Where a job stands.
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) state: JobState,
    pub(super) epochs_done: u32,
    pub(super) epochs_total: u32,
    pub(super) progress: Option<Progress>,
    pub(super) left: Option<Duration>,
    /// Whether another job does it again, which counts in its place.
    is_retried: bool,
    eta: Eta,
}

impl Standing {
    fn new(job: &JobSummary, state: JobState) -> Self {
        let (name, progress, left) = (job.name.clone(), job.progress.clone(), None);
        let (epochs_done, epochs_total) = (0, job.epochs_total);
        Self { name, state, epochs_done, epochs_total, progress, left, is_retried: false, eta: Eta::default() }
    }
}

impl Board {
    /// A plan's jobs as they were when it was submitted: its events bring them to where they are.
    pub(super) fn of_plan(jobs: &[JobSummary]) -> Self {
        let plan = jobs.first().map(|job| job.plan.clone()).unwrap_or_default();
        let standing = |job: &JobSummary| (job.id, Standing::new(job, JobState::Waiting));
        Self { plan, jobs: jobs.iter().map(standing).collect(), begun: Instant::now() }
    }

    /// No jobs yet.
    pub(super) fn empty() -> Self {
        Self { plan: String::new(), jobs: BTreeMap::new(), begun: Instant::now() }
    }

    pub(super) fn get(&self, job: JobId) -> Option<&Standing> {
        self.jobs.get(&job)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = (JobId, &Standing)> {
        self.jobs.iter().filter(|(_, job)| job.state == JobState::Running).map(|(id, job)| (*id, job))
    }

    pub(super) fn states(&self) -> impl Iterator<Item = JobState> + Clone {
        self.jobs.values().filter(|job| !job.is_retried).map(|job| job.state)
    }

    pub(super) fn in_states(&self, states: &[JobState]) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, job)| !job.is_retried && states.contains(&job.state)).map(|(id, _)| *id)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.states().all(JobState::is_terminal)
    }

    /// Takes an event in; what of it is new to the watcher.
    pub(super) fn event(&mut self, event: &EventView) -> Option<Happening> {
        let happening = happening::read(event)?;
        let job = self.jobs.get_mut(&happening.job)?;
        match &happening.what {
            // After a success seen elsewhere no earlier state is news.
            What::State(_, _) if job.state.is_terminal() => return None,
            What::State(state, _) => job.enter(*state),
            What::Epoch(record) => job.epochs_done = record.epoch,
            What::Retried(by) => {
                job.is_retried = true;
                let retry = job.again();
                self.jobs.entry(*by).or_insert(retry);
            }
            What::Setback(..) | What::Epochs(_) | What::Evaluation(_) | What::Wish(_) | What::Warning(_) => {}
        }
        Some(happening)
    }

    pub(super) fn progress(&mut self, job: JobId, progress: Progress) {
        let now = self.begun.elapsed();
        if let Some(job) = self.jobs.get_mut(&job) {
            job.left = job.eta.observe(now, &progress);
            job.progress = Some(progress);
        }
    }

    /// Takes over an end that the list knows and no event has told.
    pub(super) fn listed(&mut self, summary: &JobSummary) -> Option<Happening> {
        let job = self.jobs.get_mut(&summary.id)?;
        if job.state.is_terminal() || !summary.state.is_terminal() {
            return None;
        }
        job.enter(summary.state);
        Some(Happening { job: summary.id, what: What::State(summary.state, summary.reason.clone()) })
    }

    /// Takes over all that a list says; what of it is new. Jobs not seen before are news only when they begin to run.
    pub(super) fn summary(&mut self, summary: &JobSummary) -> Vec<Happening> {
        let standing = self.jobs.entry(summary.id).or_insert_with(|| Standing {
            epochs_done: summary.epochs_done,
            ..Standing::new(summary, JobState::Waiting)
        });
        let mut news = Vec::new();
        if standing.epochs_done < summary.epochs_done {
            standing.epochs_done = summary.epochs_done;
            news.push(What::Epochs(summary.epochs_done));
        }
        if standing.state != summary.state {
            standing.enter(summary.state);
            news.push(What::State(summary.state, summary.reason.clone()));
        }
        if let Some(progress) = &summary.progress {
            self.progress(summary.id, progress.clone());
        }
        news.into_iter().map(|what| Happening { job: summary.id, what }).collect()
    }
}

impl Standing {
    /// The same, not yet begun.
    fn again(&self) -> Self {
        let (name, epochs_total) = (self.name.clone(), self.epochs_total);
        let (state, eta) = (JobState::Waiting, Eta::default());
        Self { name, state, epochs_done: 0, epochs_total, progress: None, left: None, is_retried: false, eta }
    }

    fn enter(&mut self, state: JobState) {
        self.state = state;
        (self.progress, self.left, self.eta) = (None, None, Eta::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{summary::tests::job, watch::happening::tests::event};

    fn state(to: &str) -> EventView {
        event("job.state", &format!(r#"{{"to": "{to}", "reason": null}}"#))
    }

    #[test]
    fn events_bring_a_plan_from_its_beginning_to_its_end() {
        let mut board = Board::of_plan(&[job(12, "student", JobState::Succeeded)]);
        assert!(!board.has_ended(), "its events have yet to come");
        for to in ["queued", "running", "succeeded"] {
            assert!(board.event(&state(to)).is_some(), "{to}");
        }
        assert!(board.has_ended());
        assert_eq!(board.event(&state("running")), None, "an end is final");
    }

    #[test]
    fn a_retry_counts_in_place_of_the_job_that_it_does_again() {
        let mut board = Board::of_plan(&[job(12, "student", JobState::Waiting), job(13, "other", JobState::Waiting)]);
        board.event(&state("failed"));
        assert!(board.event(&event("job.retry", r#"{"retried_as": 31}"#)).is_some());
        assert_eq!(board.states().collect::<Vec<_>>(), [JobState::Waiting; 2]);
        let retry = |to: &str| EventView { job: Some(JobId(31)), ..state(to) };
        board.event(&retry("running"));
        assert_eq!(
            board.running().map(|(id, job)| (id, job.name.as_str())).collect::<Vec<_>>(),
            [(JobId(31), "student")]
        );
        board.event(&retry("succeeded"));
        board.event(&EventView { job: Some(JobId(13)), ..state("succeeded") });
        assert!(board.has_ended() && board.states().all(|state| state == JobState::Succeeded));
    }

    #[test]
    fn the_list_ends_what_no_event_has_ended() {
        let mut board = Board::of_plan(&[job(12, "student", JobState::Waiting)]);
        assert_eq!(board.listed(&job(12, "student", JobState::Running)), None);
        assert!(board.listed(&job(12, "student", JobState::Failed)).is_some());
        assert_eq!(board.states().collect::<Vec<_>>(), [JobState::Failed]);
    }

    #[test]
    fn a_job_that_runs_again_has_forgotten_its_progress() {
        let mut board = Board::of_plan(&[job(12, "student", JobState::Waiting)]);
        board.event(&state("running"));
        board.progress(JobId(12), Progress { phase: "x".into(), done: 1, total: 2, images_per_second: 1.0 });
        assert!(board.get(JobId(12)).unwrap().progress.is_some());
        board.event(&state("queued"));
        assert!(board.get(JobId(12)).unwrap().progress.is_none());
    }

    #[test]
    fn lists_tell_of_new_epochs_and_states() {
        let mut board = Board::empty();
        let mut running = job(12, "student", JobState::Running);
        assert_eq!(board.summary(&running).len(), 1, "it runs");
        running.epochs_done = 4;
        assert_eq!(board.summary(&running), [Happening { job: JobId(12), what: What::Epochs(4) }]);
        assert!(board.summary(&running).is_empty());
    }
}
