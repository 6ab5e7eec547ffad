//! Running jobs that give way.

use rrm_spec::{AfterPreemption, AttemptId, JobId, JobState, RequestId, Stop};
use serde::{Deserialize, Serialize};

use crate::job::Standing;
use crate::{StoreError, Tx, Write, change, job, request, sql};

/// Tells running jobs to stop at their next step. They are queued again without blame, keep their place in the queue, and go on
/// from their last checkpoint; one that is done before it hears of it has succeeded.
///
/// Jobs that wait or are queued have nothing to give way with: they are held, where that is wished, and otherwise refused.
///
/// Fails with [`StoreError::NotFound`] where a job does not exist, with [`StoreError::Forbidden`] where the caller may not change one, and
/// with [`StoreError::Precondition`] where one cannot give way, has ended or is being cancelled; nothing is changed then.
pub struct Preempt {
    /// Chosen by the client and kept when it asks again: what was preempted once may run anew by then.
    pub request: RequestId,
    /// Which.
    pub jobs: Vec<JobId>,
    /// What becomes of them.
    pub then: AfterPreemption,
}

/// A job that was running and is now marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivingWay {
    /// Which.
    pub job: JobId,
    /// Its attempt, which is to end.
    pub attempt: AttemptId,
}

impl Write for Preempt {
    type Output = Vec<GivingWay>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<GivingWay>, StoreError> {
        let asked = ("preempt", &self.jobs, self.then);
        if let Some(answer) = request::answer(tx, &self.request, &asked)? {
            return Ok(answer);
        }
        let jobs = job::standings(tx, self.jobs.clone())?;
        job::refuse_unless(&jobs, |job| is_allowed(job, self.then), allowed(self.then))?;
        let giving_way = stop(tx, &job::running(&jobs))?;
        match self.then {
            AfterPreemption::Queue => {}
            AfterPreemption::Hold => change::hold(tx, &jobs.iter().map(|job| job.id).collect::<Vec<_>>())?,
        }
        request::keep(tx, &self.request, &asked, &giving_way)?;
        Ok(giving_way)
    }
}

fn is_allowed(job: &Standing, then: AfterPreemption) -> bool {
    match job.state {
        JobState::Waiting | JobState::Queued => then == AfterPreemption::Hold,
        JobState::Running => job.stop != Some(Stop::Cancel),
        JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Skipped => false,
    }
}

fn allowed(then: AfterPreemption) -> &'static str {
    match then {
        AfterPreemption::Queue => {
            "only jobs that run, and are not being cancelled, can give way; one that waits or is queued can be held (`rrm hold`)"
        }
        AfterPreemption::Hold => {
            "only jobs that have not ended, and are not being cancelled, can be preempted and held"
        }
    }
}

/// Marks jobs that run; tells which attempts are to end.
pub(crate) fn stop(tx: &mut Tx<'_>, running: &[JobId]) -> Result<Vec<GivingWay>, StoreError> {
    job::stop_all(tx, running, Stop::Preempt)?;
    let found: Vec<(i64, i64)> = sql::query_as(
        "select job_id, attempt_id from job \
         where job_id in (select value from json_each(?)) and state = 'running' and stop = 'preempt' order by job_id",
    )
    .bind(serde_json::to_string(running)?)
    .fetch_all(tx.connection)?;
    Ok(found.into_iter().map(|(job, attempt)| GivingWay { job: JobId(job), attempt: AttemptId(attempt) }).collect())
}
