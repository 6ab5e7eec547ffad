//! Which job is next for a worker: highest priority, then whose owner has used least, then oldest.
//!
//! Jobs of one request and one priority are equal but for their owners, and of each owner only the oldest can be next: so a claim looks
//! at one job per request and owner, by leaps in an index, however many are queued.

use rrm_spec::{Booking, Candidate, Demand, JobId, Node, Offer, Round, UserName};
use rusqlite::Connection;

use crate::settle::LONGEST_PAUSE_WITH_JITTER_US;
use crate::usage::{self, Shares};
use crate::{StoreError, demand, fleet, sql};

/// The queue during one worker's turn.
pub(crate) struct Queue {
    now: i64,
    demands: Vec<Open>,
    /// Read when they are needed first.
    shares: Option<Shares>,
    others: Option<Vec<Node>>,
}

/// A request that may still be met in this turn.
struct Open {
    id: i64,
    demand: Demand,
    /// Only jobs with a lower priority are left to be looked at.
    below: i64,
}

/// The oldest job of an owner with one request and priority.
struct Head {
    owner: UserName,
    demand_id: i64,
    candidate: Candidate,
}

/// Leaps from owner to owner; each with its oldest job that need not wait. A pause that is longer than the longest was begun before the
/// wall clock was set back, and is over.
const HEADS: &str = "with recursive waiting (owner) as ( \
        select (select owner from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and priority = ?2 order by owner limit 1) \
        union all \
        select (select owner from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and priority = ?2 and owner > waiting.owner \
            order by owner limit 1) \
        from waiting where waiting.owner is not null) \
    select job.owner, job.job_id, job.queued_at, job.time_limit_s from waiting cross join job on job.job_id = ( \
        select next.job_id from job next indexed by job_claim \
        where next.state = 'queued' and next.held = 0 and next.demand_id = ?1 and next.priority = ?2 \
            and next.owner = waiting.owner \
            and (next.not_before is null or next.not_before <= ?3 or next.not_before > ?3 + ?4) \
        order by next.job_id limit 1)";

const HIGHEST_PRIORITY: &str = "select priority from job indexed by job_claim \
    where state = 'queued' and held = 0 and demand_id = ? and priority < ? order by priority desc limit 1";

impl Queue {
    /// As it is at `now` for this worker.
    pub(crate) fn open(connection: &Connection, now: i64, round: &Round) -> Result<Self, StoreError> {
        let waiting = demand::queued(connection)?;
        let fits = |(_, demand): &(i64, Demand)| round.node().misfit(demand).is_none();
        let open = |(id, demand)| Open { id, demand, below: i64::MAX };
        let demands = waiting.into_iter().filter(fits).map(open).collect();
        Ok(Self { now, demands, shares: None, others: None })
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
                if !self.demands.iter().any(|open| open.id == head.demand_id) {
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
                // What this one could not have the others that ask for the same cannot have either.
                self.demands.retain(|open| open.id != head.demand_id);
            }
        }
        Ok(None)
    }

    /// The highest priority of the jobs that are left; `None` where none is.
    fn highest_priority(&self, connection: &Connection) -> Result<Option<i64>, StoreError> {
        let mut highest = None;
        for open in &self.demands {
            let found: Option<i64> =
                sql::query_scalar(HIGHEST_PRIORITY).bind(open.id).bind(open.below).fetch_optional(connection)?;
            highest = highest.max(found);
        }
        Ok(highest)
    }

    /// The jobs of that priority that may be next, in their order.
    fn heads(&mut self, connection: &Connection, priority: i64) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::new();
        for open in &mut self.demands {
            let found: Vec<(String, i64, i64, Option<i64>)> = sql::query_as(HEADS)
                .bind(open.id)
                .bind(priority)
                .bind(self.now)
                .bind(LONGEST_PAUSE_WITH_JITTER_US)
                .fetch_all(connection)?;
            if found.is_empty() {
                // None has this priority, or all that have it pause.
                open.below = open.below.min(priority);
            }
            for (owner, job, queued_at, time_limit_s) in found {
                let (job, demand) = (JobId(job), open.demand.clone());
                let time_limit_us = time_limit_s.map(|seconds| seconds.saturating_mul(1_000_000));
                let candidate = Candidate { job, demand, queued_at, time_limit_us };
                heads.push(Head { owner: usage::name(owner)?, demand_id: open.id, candidate });
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
        for query in [HEADS, HIGHEST_PRIORITY, demand::QUEUED_DEMANDS] {
            let plan = open::plan_of(&readers, query).await;
            assert!(plan.contains("USING COVERING INDEX job_claim"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
