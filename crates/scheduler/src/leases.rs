//! Who holds what, and until when. Kept in memory alone: a heartbeat costs no commit, and after a restart everyone gets a
//! fresh term.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rrm_spec::{AttemptId, HeartbeatReply, HeldAttempt, Instruction, JobId, Progress, Stop, WorkerId};
use rrm_store::Running;

/// For how long a lease holds without a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    ttl: Duration,
}

impl Terms {
    /// A worker that was silent for `ttl` is taken for lost, a tenth later.
    ///
    /// Its trainers may go on: what they report of an attempt that was given up is refused by the database.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl }
    }

    /// See [`Terms::new`].
    pub fn ttl(self) -> Duration {
        self.ttl
    }

    /// How often a worker is to send one: two may get lost.
    pub fn heartbeat(self) -> Duration {
        self.ttl / 3
    }

    /// How often to look for leases that have run out.
    pub fn tick(self) -> Duration {
        (self.ttl / 10).min(Duration::from_secs(1))
    }

    /// When the daemon gives up on who was heard at `now`: a little later than was promised, since a heartbeat that was sent
    /// in time may be on its way.
    fn deadline(self, now: Instant) -> Instant {
        now + self.ttl + self.ttl / 10
    }
}

/// All leases, and all workers that are online.
#[derive(Debug)]
pub struct Leases {
    terms: Terms,
    attempts: HashMap<AttemptId, Lease>,
    workers: HashMap<WorkerId, Seen>,
}

#[derive(Debug)]
struct Lease {
    job: JobId,
    worker: WorkerId,
    stop: Option<Stop>,
    deadline: Instant,
    progress: Option<Progress>,
}

#[derive(Debug)]
struct Seen {
    deadline: Instant,
    /// Microseconds since the Unix epoch, for display.
    at: i64,
}

impl Leases {
    /// None.
    pub fn new(terms: Terms) -> Self {
        Self { terms, attempts: HashMap::new(), workers: HashMap::new() }
    }

    /// An attempt is handed out, or found running in the database: it gets a fresh term unless it has one.
    ///
    /// A wish to stop is only ever added, and of two the one that holds is kept.
    pub fn hold(&mut self, now: Instant, running: &Running) {
        let deadline = self.terms.deadline(now);
        let Running { attempt, job, worker, stop } = *running;
        let fresh = || Lease { job, worker, stop, deadline, progress: None };
        let lease = self.attempts.entry(attempt).or_insert_with(fresh);
        lease.stop = lease.stop.map_or(stop, |earlier| Some(earlier.and(stop)));
    }

    /// An attempt has ended.
    pub fn release(&mut self, attempt: AttemptId) {
        self.attempts.remove(&attempt);
    }

    /// A worker is there.
    pub fn greet(&mut self, now: Instant, at: i64, worker: WorkerId) {
        self.workers.insert(worker, Seen { deadline: self.terms.deadline(now), at });
    }

    /// A worker has left, with all that it had.
    pub fn dismiss(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
        self.attempts.retain(|_, lease| lease.worker != worker);
    }

    /// A worker tells what it has: every lease among it gets a fresh term.
    ///
    /// What is not its own any more it must abandon. A worker that is not known gets no instruction but to register.
    pub fn beat(&mut self, now: Instant, at: i64, worker: WorkerId, held: &[HeldAttempt]) -> HeartbeatReply {
        if !self.workers.contains_key(&worker) {
            return HeartbeatReply { instructions: Vec::new(), known: None };
        }
        self.greet(now, at, worker);
        let deadline = self.terms.deadline(now);
        let instructions = held.iter().map(|held| (held.attempt, self.renew(deadline, worker, held))).collect();
        HeartbeatReply { instructions, known: Some(worker) }
    }

    fn renew(&mut self, deadline: Instant, worker: WorkerId, held: &HeldAttempt) -> Instruction {
        let Some(lease) = self.attempts.get_mut(&held.attempt).filter(|lease| lease.worker == worker) else {
            return Instruction::Abandon;
        };
        lease.deadline = deadline;
        lease.progress = held.progress.clone().or(lease.progress.take());
        match lease.stop {
            Some(Stop::Cancel | Stop::Preempt | Stop::Timeout) => Instruction::Stop,
            None => Instruction::Continue,
        }
    }

    /// Running jobs are to end.
    pub fn cancel(&mut self, jobs: &[JobId]) {
        for lease in self.attempts.values_mut().filter(|lease| jobs.contains(&lease.job)) {
            lease.stop = Some(Stop::Cancel);
        }
    }

    /// Attempts are to end so that their jobs give way; those that have ended are no concern of later ones at the same jobs.
    pub fn preempt(&mut self, attempts: impl IntoIterator<Item = AttemptId>) {
        for attempt in attempts {
            if let Some(lease) = self.attempts.get_mut(&attempt) {
                lease.stop = Some(Stop::Preempt.and(lease.stop));
            }
        }
    }

    /// Attempts whose term has run out.
    pub fn overdue(&self, now: Instant) -> Vec<AttemptId> {
        self.attempts.iter().filter(|(_, lease)| lease.deadline <= now).map(|(id, _)| *id).collect()
    }

    /// Workers whose term has run out.
    pub fn silent(&self, now: Instant) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, seen)| seen.deadline <= now).map(|(id, _)| *id).collect()
    }

    /// Where a running job stands, by its newest attempt.
    pub fn progress(&self, job: JobId) -> Option<Progress> {
        let of_job = self.attempts.iter().filter(|(_, lease)| lease.job == job);
        of_job.max_by_key(|(attempt, _)| **attempt)?.1.progress.clone()
    }

    /// Where all running jobs stand.
    pub fn all_progress(&self) -> Vec<(JobId, Progress)> {
        self.attempts.values().filter_map(|lease| Some((lease.job, lease.progress.clone()?))).collect()
    }

    /// How many attempts are in workers' hands.
    pub fn held(&self) -> usize {
        self.attempts.len()
    }

    /// The job of an attempt that runs.
    pub fn job_of(&self, attempt: AttemptId) -> Option<JobId> {
        self.attempts.get(&attempt).map(|lease| lease.job)
    }

    /// When a worker was last heard.
    pub fn last_seen(&self, worker: WorkerId) -> Option<i64> {
        self.workers.get(&worker).map(|seen| seen.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);
    const MINE: WorkerId = WorkerId(1);
    const OTHER: WorkerId = WorkerId(2);
    const ATTEMPT: AttemptId = AttemptId(7);
    const JOB: JobId = JobId(3);

    fn leases(now: Instant) -> Leases {
        let mut leases = Leases::new(Terms::new(TTL));
        leases.greet(now, 0, MINE);
        leases.greet(now, 0, OTHER);
        leases.hold(now, &Running { attempt: ATTEMPT, job: JOB, worker: MINE, stop: None });
        leases
    }

    fn held(done: Option<u64>) -> Vec<HeldAttempt> {
        let at = |done| Progress { phase: "epoch".into(), done, total: 10, images_per_second: 1.0 };
        vec![HeldAttempt { attempt: ATTEMPT, progress: done.map(at) }]
    }

    #[test]
    fn a_lease_runs_out_a_little_later_than_was_promised() {
        let now = Instant::now();
        let leases = leases(now);
        assert_eq!((leases.overdue(now + TTL), leases.held()), (vec![], 1));
        assert_eq!(leases.overdue(now + TTL + TTL / 10), [ATTEMPT]);
        assert_eq!(leases.silent(now + TTL), []);
        assert_eq!(leases.silent(now + TTL * 2).len(), 2);
    }

    #[test]
    fn a_heartbeat_renews_what_it_names_and_nothing_else() {
        let now = Instant::now();
        let mut leases = leases(now);
        let later = now + TTL;
        let reply = leases.beat(later, 5, MINE, &held(None));
        assert_eq!(reply, HeartbeatReply { instructions: vec![(ATTEMPT, Instruction::Continue)], known: Some(MINE) });
        assert_eq!(leases.overdue(now + TTL * 2), []);
        assert_eq!(leases.silent(now + TTL * 2), [OTHER]);
        assert_eq!(leases.last_seen(MINE), Some(5));
        // Alive, but without the attempt.
        leases.beat(now + TTL * 2, 6, MINE, &[]);
        assert_eq!(leases.overdue(later + TTL * 2), [ATTEMPT]);
    }

    #[test]
    fn what_is_not_its_own_a_worker_must_abandon() {
        let now = Instant::now();
        let mut leases = leases(now);
        assert_eq!(leases.beat(now, 0, OTHER, &held(None)).instructions, [(ATTEMPT, Instruction::Abandon)]);
        leases.release(ATTEMPT);
        assert_eq!(leases.beat(now, 0, MINE, &held(None)).instructions, [(ATTEMPT, Instruction::Abandon)]);
    }

    #[test]
    fn an_unknown_worker_is_told_to_register_and_nothing_else() {
        let now = Instant::now();
        let mut leases = leases(now);
        leases.dismiss(MINE);
        assert_eq!(leases.beat(now, 0, MINE, &held(None)), HeartbeatReply { instructions: vec![], known: None });
        assert_eq!(leases.job_of(ATTEMPT), None);
    }

    #[test]
    fn a_wish_to_stop_reaches_the_worker_and_is_not_forgotten() {
        let now = Instant::now();
        let mut leases = leases(now);
        leases.cancel(&[JOB]);
        // As read from the database a moment before.
        leases.hold(now, &Running { attempt: ATTEMPT, job: JOB, worker: MINE, stop: None });
        assert_eq!(leases.beat(now, 0, MINE, &held(None)).instructions, [(ATTEMPT, Instruction::Stop)]);
    }

    #[test]
    fn an_attempt_that_gives_way_is_told_to_stop_and_a_later_one_is_not() {
        let now = Instant::now();
        let mut leases = leases(now);
        leases.preempt([AttemptId(6)]);
        assert_eq!(leases.beat(now, 0, MINE, &held(None)).instructions, [(ATTEMPT, Instruction::Continue)]);
        leases.preempt([ATTEMPT]);
        assert_eq!(leases.beat(now, 0, MINE, &held(None)).instructions, [(ATTEMPT, Instruction::Stop)]);
    }

    #[test]
    fn holding_again_does_not_lengthen_a_term() {
        let now = Instant::now();
        let mut leases = leases(now);
        leases.hold(now + TTL, &Running { attempt: ATTEMPT, job: JOB, worker: MINE, stop: Some(Stop::Cancel) });
        assert_eq!(leases.overdue(now + TTL * 2), [ATTEMPT]);
        assert_eq!(leases.beat(now, 0, MINE, &held(None)).instructions, [(ATTEMPT, Instruction::Stop)]);
    }

    #[test]
    fn the_newest_progress_is_kept() {
        let now = Instant::now();
        let mut leases = leases(now);
        assert_eq!(leases.progress(JOB), None);
        leases.beat(now, 0, MINE, &held(Some(4)));
        leases.beat(now, 0, MINE, &held(None));
        assert_eq!(leases.progress(JOB).unwrap().done, 4);
        assert_eq!(leases.all_progress().len(), 1);
    }
}
