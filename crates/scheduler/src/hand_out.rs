//! Handing out jobs: a long poll.

use std::time::{Duration, Instant};

use rrm_api::{ApiError, Caller};
use rrm_spec::{Assignment, AttemptId, Device, RequestId, WorkerId};
use rrm_store::{Lease, Running};
use tokio::time::{sleep, sleep_until};

use crate::Daemon;
use crate::access::by;
use crate::error::answer;

/// A worker without work asks again after so long at the latest.
const LONG_POLL: Duration = Duration::from_secs(30);

/// Jobs whose pause before another try is over ring no bell.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A worker's question for work.
pub(crate) struct Question {
    pub(crate) caller: Caller,
    pub(crate) worker: WorkerId,
    pub(crate) request: RequestId,
    pub(crate) free: Vec<Device>,
    pub(crate) held: Vec<AttemptId>,
}

impl Daemon {
    /// Waits until there is a job for one of the free devices; nothing after a while, or when the daemon stops.
    pub(crate) async fn hand_out(&self, question: Question) -> Result<Vec<Assignment>, ApiError> {
        let until = (Instant::now() + LONG_POLL).into();
        let mut queue = self.store.watch_queue();
        loop {
            // Before asking: what is queued while we ask must wake us.
            queue.mark_unchanged();
            let assignments = self.ask(&question).await?;
            if !assignments.is_empty() || question.free.is_empty() {
                return Ok(assignments);
            }
            tokio::select! {
                changed = queue.changed() => if changed.is_err() { return Ok(Vec::new()) },
                () = sleep(LOOK_AGAIN) => {}
                () = sleep_until(until) => return Ok(Vec::new()),
                () = self.stopping.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    /// What there is for the free devices without waiting for more.
    ///
    /// # Errors
    /// See [`Service::lease`](rrm_api::Service::lease).
    pub async fn lease_at_once(
        &self,
        caller: Caller,
        worker: WorkerId,
        request: RequestId,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        self.ask(&Question { caller, worker, request, free, held }).await
    }

    async fn ask(&self, question: &Question) -> Result<Vec<Assignment>, ApiError> {
        let Question { ref caller, worker, ref request, ref free, ref held } = *question;
        let lease = Lease { worker, request: request.clone(), free: free.clone(), held: held.clone() };
        let assignments = self.store.write(self.wall_us(), by(caller.clone(), lease)).await.map_err(answer)?;
        self.meters.granted.inc_by(assignments.len() as u64);
        let now = self.now();
        for it in &assignments {
            tracing::info!(job = %it.job, attempt = %it.attempt, %worker, device = %it.device, "leased");
            self.leases().hold(now, &Running { attempt: it.attempt, job: it.job, worker, stop: None });
        }
        Ok(assignments)
    }
}
