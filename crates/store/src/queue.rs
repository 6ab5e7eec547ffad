//! Which job is next for a worker: highest priority, then whose owner has used least, then oldest.
//!
//! Jobs of one request, time limit and priority are equal but for their owners, and of each owner only the oldest can be next: so a
//! claim looks at one job per request, limit and owner, by leaps in an index, however many are queued. That the limit counts lets a short
//! job pass an older one without a limit where devices are kept for somebody.

use rrm_spec::{Booking, Candidate, JobId, Node, Offer, Round, UserName};
use rusqlite::Connection;

use crate::demand::{self, Lane};
use crate::settle::LONGEST_PAUSE_WITH_JITTER_US;
use crate::usage::{self, Shares};
use crate::{StoreError, fleet, sql};

/// The queue during one worker's turn.
pub(crate) struct Queue {
    now: i64,
    lanes: Vec<Open>,
    /// Read when they are needed first.
    shares: Option<Shares>,
    others: Option<Vec<Node>>,
}

/// A lane whose jobs may still begin in this turn.
struct Open {
    lane: Lane,
    /// Only jobs with a lower priority are left to be looked at.
    below: i64,
}

/// The oldest job of an owner in a lane with one priority.
struct Head {
    owner: UserName,
    demand_id: i64,
    time_limit_s: Option<i64>,
    candidate: Candidate,
}

impl Head {
    fn of(lane: &Lane, owner: UserName, job: JobId, queued_at: i64) -> Self {
        let Lane { demand_id, time_limit_s, ref demand } = *lane;
        let time_limit_us = time_limit_s.map(|seconds| seconds.saturating_mul(1_000_000));
        let candidate = Candidate { job, demand: demand.clone(), queued_at, time_limit_us };
        Self { owner, demand_id, time_limit_s, candidate }
    }

    fn is_of(&self, lane: &Lane) -> bool {
        (self.demand_id, self.time_limit_s) == (lane.demand_id, lane.time_limit_s)
    }
}

/// Leaps from owner to owner; each with its oldest job that need not wait. A pause that is longer than the longest was begun before the
/// wall clock was set back, and is over.
const HEADS: &str = "with recursive waiting (owner) as ( \
        select (select owner from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and time_limit_s is ?5 and priority = ?2 order by owner limit 1) \
        union all \
        select (select owner from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and time_limit_s is ?5 and priority = ?2 and owner > waiting.owner \
            order by owner limit 1) \
        from waiting where waiting.owner is not null) \
    select job.owner, job.job_id, job.queued_at from waiting cross join job on job.job_id = ( \
        select next.job_id from job next indexed by job_claim \
        where next.state = 'queued' and next.held = 0 and next.demand_id = ?1 and next.time_limit_s is ?5 and next.priority = ?2 \
            and next.owner = waiting.owner \
            and (next.not_before is null or next.not_before <= ?3 or next.not_before > ?3 + ?4) \
        order by next.job_id limit 1)";

const HIGHEST_PRIORITY: &str = "select priority from job indexed by job_claim \
    where state = 'queued' and held = 0 and demand_id = ? and time_limit_s is ? and priority < ? \
    order by priority desc limit 1";

impl Queue {
    /// As it is at `now` for this worker.
    pub(crate) fn open(connection: &Connection, now: i64, round: &Round) -> Result<Self, StoreError> {
        let mut lanes = demand::lanes(connection)?;
        lanes.retain(|lane| round.node().misfit(&lane.demand).is_none());
        let lanes = lanes.into_iter().map(|lane| Open { lane, below: i64::MAX }).collect();
        Ok(Self { now, lanes, shares: None, others: None })
    }

    /// The next job for the worker, which has begun in its round then; none where nothing that is queued can begin there now.
    pub(crate) fn next(
        &mut self,
        connection: &Connection,
        round: &mut Round,
    ) -> Result<Option<(JobId, Vec<Booking>)>, StoreError> {
        while round.has_room()
            && let Some(priority) = self.highest_priority(connection)?
        {
            for head in self.heads(connection, priority)? {
                if !self.lanes.iter().any(|open| head.is_of(&open.lane)) {
                    continue;
                }
                match round.offer(&head.candidate) {
                    Offer::Start(bookings) => {
                        round.start(&head.candidate, &bookings);
                        self.begin(&head);
                        return Ok(Some((head.candidate.job, bookings)));
                    }
                    Offer::Wait => self.wait(connection, round, &head)?,
                    Offer::Misfit => {}
                }
                // What this one could not have the others that ask for the same, for as long, cannot have either.
                self.lanes.retain(|open| !head.is_of(&open.lane));
            }
        }
        Ok(None)
    }

    /// The highest priority of the jobs that are left; `None` where none is.
    fn highest_priority(&self, connection: &Connection) -> Result<Option<i64>, StoreError> {
        let mut highest = None;
        for Open { lane, below } in &self.lanes {
            let query = sql::query_scalar(HIGHEST_PRIORITY).bind(lane.demand_id).bind(lane.time_limit_s).bind(below);
            let found: Option<i64> = query.fetch_optional(connection)?;
            highest = highest.max(found);
        }
        Ok(highest)
    }

    /// The jobs of that priority that may be next, in their order.
    fn heads(&mut self, connection: &Connection, priority: i64) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::new();
        for Open { lane, below } in &mut self.lanes {
            let found: Vec<(String, i64, i64)> = sql::query_as(HEADS)
                .bind(lane.demand_id)
                .bind(priority)
                .bind(self.now)
                .bind(LONGEST_PAUSE_WITH_JITTER_US)
                .bind(lane.time_limit_s)
                .fetch_all(connection)?;
            if found.is_empty() {
                // None has this priority, or all that have it pause.
                *below = priority.min(*below);
            }
            for (owner, job, queued_at) in found {
                heads.push(Head::of(lane, usage::name(owner)?, JobId(job), queued_at));
            }
        }
        if heads.len() > 1 && self.shares.is_none() {
            self.shares = Some(Shares::of(connection, self.now)?);
        }
        if let Some(shares) = &self.shares {
            let order = |head: &Head| (shares.of_owner(&head.owner), head.candidate.job);
            heads.sort_by(|a, b| order(a).partial_cmp(&order(b)).expect("usage is a number"));
        }
        Ok(heads)
    }

    fn begin(&mut self, head: &Head) {
        if let Some(shares) = &mut self.shares {
            shares.begin(&head.owner, head.candidate.demand.resources.devices.as_f64());
        }
    }

    /// Keeps for a job what it needs, once it has waited for long.
    fn wait(&mut self, connection: &Connection, round: &mut Round, head: &Head) -> Result<(), StoreError> {
        if !round.must_gather(&head.candidate) {
            return Ok(());
        }
        if self.others.is_none() {
            let mut all = fleet::online(connection)?;
            all.retain(|node| node.worker != round.node().worker);
            self.others = Some(all);
        }
        round.reserve(&head.candidate, self.others.as_deref().unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open;

    #[tokio::test]
    async fn a_claim_reads_the_queues_index_and_sorts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (_writer, readers) = open::open(&folder.path().join("rrm.db")).unwrap();
        for query in [HEADS, HIGHEST_PRIORITY, demand::QUEUED_DEMANDS, demand::QUEUED_LIMITS] {
            let plan = open::plan_of(&readers, query).await;
            assert!(plan.contains("USING COVERING INDEX job_claim"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
