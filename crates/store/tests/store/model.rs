//! Random lives of a queue, beside a model of a few lines: after every step both agree, and the invariants hold.

use std::collections::HashSet;

use proptest::prelude::*;
use rrm_spec::{
    AfterPreemption, Assignment, AttemptId, AttemptOutcome, CheckpointRole, Dependents, Device, DrainHow, DrainTarget,
    JobChange, JobId, JobState, Record, RetryBegin, RetryWish, Stop, WorkerId,
};
use rrm_store::{CollectArtifacts, StoreError};

use crate::bench::{Bench, CHAIN, checkpoint_record, epoch, evaluation, plan, started};

/// What may happen; the numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Submit,
    /// The request before, once more.
    Repeat,
    Lease(usize),
    /// The reply does not arrive.
    LeaseUnheard(usize),
    /// An attempt, current or not, tells of its next step.
    Advance(usize),
    /// It tells all that is left, and that it is done.
    Finish(usize),
    Settle(usize, AttemptOutcome),
    Expire(usize),
    Cancel(usize),
    Hold(usize),
    Release(usize),
    Priority(usize, i32),
    Preempt(usize, AfterPreemption),
    /// And once more, since the answer was lost.
    Retry(usize, RetryBegin, Dependents),
    /// A worker, or the whole daemon, gets no new work.
    Drain(Option<usize>),
    Undrain(Option<usize>),
    Collect,
    /// The daemon stops and starts.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..1000_usize;
    prop_oneof![
        1 => Just(Op::Submit),
        1 => Just(Op::Repeat),
        6 => which.clone().prop_map(Op::Lease),
        1 => which.clone().prop_map(Op::LeaseUnheard),
        12 => which.clone().prop_map(Op::Advance),
        2 => which.clone().prop_map(Op::Finish),
        2 => (which.clone(), prop::sample::select(AttemptOutcome::ALL.to_vec())).prop_map(|(i, o)| Op::Settle(i, o)),
        2 => which.clone().prop_map(Op::Expire),
        1 => which.clone().prop_map(Op::Cancel),
        1 => which.clone().prop_map(Op::Hold),
        2 => which.clone().prop_map(Op::Release),
        1 => (which.clone(), -1..=1).prop_map(|(i, priority)| Op::Priority(i, priority)),
        2 => (which.clone(), prop::sample::select(vec![AfterPreemption::Queue, AfterPreemption::Hold]))
            .prop_map(|(i, then)| Op::Preempt(i, then)),
        3 => (which, any::<bool>(), any::<bool>()).prop_map(|(i, scratch, dependents)| Op::Retry(
            i,
            if scratch { RetryBegin::Scratch } else { RetryBegin::Checkpoint },
            if dependents { Dependents::Retry } else { Dependents::Leave },
        )),
        1 => prop::option::of(0..2_usize).prop_map(Op::Drain),
        2 => prop::option::of(0..2_usize).prop_map(Op::Undrain),
        1 => Just(Op::Collect),
        1 => Just(Op::Restart),
    ]
}

/// A job as the model sees it.
#[derive(Clone)]
struct Job {
    parent: Option<usize>,
    epochs: u32,
    state: JobState,
    stop: Option<Stop>,
    held: bool,
    priority: i32,
    retried_as: Option<usize>,
    retries: u32,
    crashes: u32,
    /// Last epoch with a stored checkpoint.
    resume: u32,
    cancel_acknowledged: bool,
}

/// An attempt as its trainer sees it.
struct Life {
    assignment: Assignment,
    worker: usize,
    seq: u64,
    started: bool,
    epoch: u32,
    ended: Option<AttemptOutcome>,
}

struct World {
    /// Whether each worker, and the daemon, gives or gets no new work.
    drained: [bool; 2],
    is_drained: bool,
    bench: Bench,
    workers: Vec<WorkerId>,
    jobs: Vec<Job>,
    lives: Vec<Life>,
    requests: usize,
}

const DEVICES: [Device; 2] = [Device::Cpu, Device::Cuda(0)];

impl World {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let workers = vec![bench.worker("one", &DEVICES).await, bench.worker("two", &DEVICES).await];
        let (drained, is_drained) = ([false; 2], false);
        Self { drained, is_drained, bench, workers, jobs: Vec::new(), lives: Vec::new(), requests: 0 }
    }

    async fn step(mut self, op: Op) -> Self {
        // Longer than the pause before a retry, and than failures take that speak of a sick device: both have tests of their own.
        self.bench.skip_time(70_000_000);
        match op {
            Op::Submit => self.submit().await,
            Op::Repeat => self.repeat().await,
            Op::Lease(i) => self.lease(i, true).await,
            Op::LeaseUnheard(i) => self.lease(i, false).await,
            Op::Advance(i) => self.with_life(i, async |world, life| world.advance(life).await).await,
            Op::Finish(i) => self.with_life(i, async |world, life| world.finish(life).await).await,
            Op::Settle(i, outcome) => {
                self.with_life(i, async |world, life| world.settle(life, outcome).await).await;
            }
            Op::Expire(i) => self.with_life(i, async |world, life| world.expire(life).await).await,
            Op::Cancel(i) => self.cancel(i).await,
            Op::Hold(i) => self.change(i, JobChange::Hold).await,
            Op::Release(i) => self.change(i, JobChange::Release).await,
            Op::Priority(i, priority) => self.change(i, JobChange::Priority(priority)).await,
            Op::Preempt(i, then) => self.preempt(i, then).await,
            Op::Retry(i, begin, dependents) => self.retry(i, begin, dependents).await,
            Op::Drain(whom) => self.drain(whom).await,
            Op::Undrain(whom) => self.undrain(whom).await,
            Op::Collect => {
                let now = self.bench.now();
                self.bench
                    .write(CollectArtifacts { superseded_before: now, ended_before: 0, unknown_before: now })
                    .await
                    .unwrap();
            }
            Op::Restart => self.bench = self.bench.reopened().await,
        }
        self
    }

    async fn with_life(&mut self, i: usize, act: impl AsyncFnOnce(&mut Self, usize)) {
        // Mostly the newest: with all alike, attempts would seldom live long enough to leave checkpoints.
        let among = if i.is_multiple_of(4) { self.lives.len() } else { self.lives.len().min(3) };
        if among > 0 {
            act(self, self.lives.len() - 1 - i / 4 % among).await;
        }
    }

    async fn submit(&mut self) {
        if self.requests == 4 {
            return;
        }
        let first = self.jobs.len();
        self.requests += 1;
        let submitted = self.bench.submit_as(&self.request(), &plan(CHAIN)).await.unwrap();
        assert_eq!(submitted.jobs[0].0, JobId(first as i64 + 1));
        for (parent, epochs) in [(None, 3), (Some(first), 3), (Some(first + 1), 0)] {
            let state = if parent.is_none() { JobState::Queued } else { JobState::Waiting };
            self.jobs.push(Job {
                parent,
                epochs,
                state,
                stop: None,
                held: false,
                priority: 0,
                retried_as: None,
                retries: 0,
                crashes: 0,
                resume: 0,
                cancel_acknowledged: false,
            });
        }
    }

    async fn repeat(&mut self) {
        if self.requests > 0 {
            assert!(self.bench.submit_as(&self.request(), &plan(CHAIN)).await.unwrap().already);
        }
    }

    fn request(&self) -> String {
        format!("submission-{}", self.requests)
    }

    async fn lease(&mut self, i: usize, heard: bool) {
        let (worker, device) = (i % 2, DEVICES[i / 2 % 2]);
        let held: Vec<AttemptId> =
            self.lives.iter().filter(|it| it.worker == worker).map(|it| it.assignment.attempt).collect();
        let busy =
            self.lives.iter().any(|it| it.worker == worker && it.assignment.device == device && self.is_current(it));
        if busy {
            return;
        }
        let request = format!("lease-of-{i}-{}", self.bench.now());
        let got = self.bench.lease_as(self.workers[worker], &request, &[device], &held).await.unwrap();
        assert!(got.len() <= 1, "{got:?}");
        let Some(assignment) = got.into_iter().next() else {
            assert!(
                self.is_drained || self.drained[worker] || self.next().is_none(),
                "a queued job was not handed out"
            );
            return;
        };
        let index = index(assignment.job);
        if self.jobs[index].state == JobState::Queued {
            assert!(!self.is_drained && !self.drained[worker], "a drained worker got work");
            assert_eq!(self.next(), Some(index), "not the one with the highest priority, or of these not the oldest");
        } else {
            assert_eq!(self.jobs[index].state, JobState::Running, "handed out again, but not running");
        }
        assert_eq!(assignment.resume.as_ref().map_or(0, |it| it.epoch), self.jobs[index].resume);
        assert_eq!(assignment.inputs.len(), usize::from(self.jobs[index].parent.is_some()));
        self.jobs[index].state = JobState::Running;
        if heard {
            let epoch = self.jobs[index].resume;
            self.lives.push(Life { assignment, worker, seq: 0, started: false, epoch, ended: None });
        }
    }

    /// Whose turn it is.
    fn next(&self) -> Option<usize> {
        let ready = (0..self.jobs.len()).filter(|i| self.jobs[*i].state == JobState::Queued && !self.jobs[*i].held);
        ready.min_by_key(|i| (-self.jobs[*i].priority, *i))
    }

    /// The newest life of a running job, and none that the daemon has ended.
    fn is_current(&self, life: &Life) -> bool {
        life.ended.is_none() && self.jobs[index(life.assignment.job)].state == JobState::Running
    }

    async fn advance(&mut self, i: usize) {
        let life = &self.lives[i];
        let (attempt, job) = (life.assignment.attempt, index(life.assignment.job));
        let epochs = self.jobs[job].epochs;
        let records = match life.started {
            false => vec![started(life.epoch + 1)],
            true if life.epoch < epochs => {
                let saved = checkpoint_record(attempt, life.epoch + 1, CheckpointRole::Resume);
                vec![epoch(life.epoch + 1), Record::Checkpoint(saved)]
            }
            true => return,
        };
        let current = self.is_current(life);
        let told = self.bench.report(attempt, life.seq + 1, &records).await;
        if !current {
            assert!(matches!(told, Err(StoreError::LeaseLost { .. })), "a stale attempt reported: {told:?}");
            return;
        }
        let life = &mut self.lives[i];
        life.seq += records.len() as u64;
        assert_eq!(told.unwrap(), life.seq);
        // The reply was lost, and it is told again.
        let first = life.seq + 1 - records.len() as u64;
        assert_eq!(self.bench.report(attempt, first, &records).await.unwrap(), life.seq);
        life.epoch += u32::from(life.started);
        life.started = true;
        if let Some(Record::Checkpoint(saved)) = records.last() {
            self.bench.keep(&saved.sha256).await;
            self.jobs[job].resume = saved.epoch;
        }
    }

    async fn finish(&mut self, i: usize) {
        if !self.is_current(&self.lives[i]) {
            return self.settle(i, AttemptOutcome::Ok).await;
        }
        let epochs = self.jobs[index(self.lives[i].assignment.job)].epochs;
        while !self.lives[i].started || self.lives[i].epoch < epochs {
            self.advance(i).await;
        }
        let life = &self.lives[i];
        let result = match epochs {
            0 => Record::Evaluation(evaluation(&life.assignment.spec)),
            _ => {
                let saved = checkpoint_record(life.assignment.attempt, epochs, CheckpointRole::Final);
                self.bench.keep(&saved.sha256).await;
                Record::Checkpoint(saved)
            }
        };
        self.bench.report(life.assignment.attempt, life.seq + 1, &[result]).await.unwrap();
        self.lives[i].seq += 1;
        self.end(i, AttemptOutcome::Ok).await;
    }

    async fn settle(&mut self, i: usize, outcome: AttemptOutcome) {
        let life = &self.lives[i];
        if self.is_current(life) {
            // A success without results counts as an error of the machine.
            let cancelled = self.jobs[index(life.assignment.job)].stop == Some(Stop::Cancel);
            let real = if outcome == AttemptOutcome::Ok && !cancelled { AttemptOutcome::WorkerError } else { outcome };
            return self.end_as(i, outcome, real).await;
        }
        let told = self.bench.settle(life.assignment.attempt, life.seq, outcome).await;
        assert_eq!(told.is_ok(), life.ended == Some(outcome), "a stale attempt settled: {told:?}");
    }

    async fn end(&mut self, i: usize, outcome: AttemptOutcome) {
        self.end_as(i, outcome, outcome).await;
    }

    async fn end_as(&mut self, i: usize, told: AttemptOutcome, real: AttemptOutcome) {
        let (attempt, seq) = (self.lives[i].assignment.attempt, self.lives[i].seq);
        self.bench.settle(attempt, seq, told).await.unwrap();
        self.ended(i, real);
    }

    async fn expire(&mut self, i: usize) {
        let current = self.is_current(&self.lives[i]);
        let attempt = self.lives[i].assignment.attempt;
        assert_eq!(self.bench.expire(attempt).await, if current { vec![attempt] } else { vec![] });
        if current {
            self.ended(i, AttemptOutcome::Lost);
        }
    }

    fn ended(&mut self, i: usize, outcome: AttemptOutcome) {
        use AttemptOutcome::{Crashed, Lost, Ok, Oom, Stopped, Timeout, UserError, WorkerError};
        self.lives[i].ended = Some(outcome);
        let index = index(self.lives[i].assignment.job);
        let job = &mut self.jobs[index];
        job.state = match outcome {
            _ if job.stop == Some(Stop::Cancel) => JobState::Cancelled,
            Ok => JobState::Succeeded,
            UserError | Timeout => JobState::Failed,
            Stopped => JobState::Queued,
            Crashed | Lost => {
                job.crashes += 1;
                if job.crashes < 5 { JobState::Queued } else { JobState::Failed }
            }
            Oom | WorkerError => {
                job.retries += 1;
                if job.retries <= 1 { JobState::Queued } else { JobState::Failed }
            }
        };
        job.stop = match job.state {
            JobState::Cancelled => job.stop,
            JobState::Failed if outcome == Timeout => Some(Stop::Timeout),
            _ => None,
        };
        self.follow(index);
    }

    /// Releases or skips what hangs on a job, whose hold ends with it.
    fn follow(&mut self, parent: usize) {
        self.jobs[parent].held &= !self.jobs[parent].state.is_terminal();
        for child in 0..self.jobs.len() {
            if self.jobs[child].parent != Some(parent) || self.jobs[child].state != JobState::Waiting {
                continue;
            }
            match self.jobs[parent].state {
                JobState::Succeeded => self.jobs[child].state = JobState::Queued,
                JobState::Failed | JobState::Cancelled | JobState::Skipped => {
                    self.jobs[child].state = JobState::Skipped;
                    self.follow(child);
                }
                JobState::Waiting | JobState::Queued | JobState::Running => {}
            }
        }
    }

    async fn cancel(&mut self, i: usize) {
        if self.jobs.is_empty() {
            return;
        }
        let index = i % self.jobs.len();
        let told = self.bench.cancel(&[JobId(index as i64 + 1)]).await;
        let job = &mut self.jobs[index];
        match job.state {
            JobState::Succeeded | JobState::Failed => return assert!(told.is_err()),
            JobState::Waiting | JobState::Queued => job.state = JobState::Cancelled,
            JobState::Running => job.stop = Some(Stop::Cancel),
            JobState::Cancelled | JobState::Skipped => {}
        }
        told.unwrap();
        self.jobs[index].cancel_acknowledged = true;
        self.follow(index);
    }

    async fn change(&mut self, i: usize, change: JobChange) {
        let Some(index) = self.choose(i) else { return };
        let told = self.bench.change(&[id(index)], change).await;
        let job = &mut self.jobs[index];
        let is_allowed = match job.state {
            JobState::Waiting | JobState::Queued => true,
            JobState::Running => change == JobChange::Release,
            _ => false,
        };
        assert_eq!(told.is_ok(), is_allowed, "{change:?} of a {} job: {told:?}", job.state);
        match change {
            _ if !is_allowed => {}
            JobChange::Hold => job.held = true,
            JobChange::Release => job.held = false,
            JobChange::Priority(priority) => job.priority = priority,
        }
    }

    async fn preempt(&mut self, i: usize, then: AfterPreemption) {
        let Some(index) = self.choose(i) else { return };
        let told = self.bench.preempt(&[id(index)], then).await;
        let job = &mut self.jobs[index];
        let is_allowed = match job.state {
            JobState::Running => job.stop != Some(Stop::Cancel),
            JobState::Waiting | JobState::Queued => then == AfterPreemption::Hold,
            _ => false,
        };
        if !is_allowed {
            return assert!(
                matches!(told, Err(StoreError::Precondition { .. })),
                "{then:?} of a {} job: {told:?}",
                job.state
            );
        }
        let expected = if job.state == JobState::Running { vec![id(index)] } else { vec![] };
        assert_eq!(told.unwrap(), expected);
        job.stop = (job.state == JobState::Running).then_some(Stop::Preempt);
        job.held |= then == AfterPreemption::Hold;
    }

    fn choose(&self, i: usize) -> Option<usize> {
        (!self.jobs.is_empty()).then(|| i % self.jobs.len())
    }

    async fn retry(&mut self, i: usize, begin: RetryBegin, dependents: Dependents) {
        // Mostly one with which it can be done.
        let fit: Vec<usize> = (0..self.jobs.len()).filter(|i| self.can_be_retried(*i)).collect();
        let index = if i.is_multiple_of(4) || fit.is_empty() { self.choose(i) } else { Some(fit[i % fit.len()]) };
        let Some(index) = index else { return };
        if self.jobs.len() > 30 {
            return;
        }
        let wish = RetryWish { begin, dependents, time_limit: None };
        let request = format!("retry-{}", self.bench.now());
        let told = self.bench.retry_as(&request, &[id(index)], wish).await;
        if !self.can_be_retried(index) || self.lacks_parent(index) {
            return assert!(matches!(told, Err(StoreError::Precondition { .. })), "{told:?}");
        }
        let told = told.unwrap();
        assert_eq!(self.bench.retry_as(&request, &[id(index)], wish).await.unwrap(), told);
        let expected = self.again(index, begin, dependents);
        let told: Vec<_> = told.iter().map(|it| (it.retry_of, it.job, it.resumes_after)).collect();
        assert_eq!(told, expected);
    }

    fn can_be_retried(&self, i: usize) -> bool {
        let ended = [JobState::Failed, JobState::Cancelled, JobState::Skipped];
        ended.contains(&self.jobs[i].state) && self.jobs[i].retried_as.is_none()
    }

    fn newest(&self, i: usize) -> usize {
        self.jobs[i].retried_as.map_or(i, |later| self.newest(later))
    }

    fn lacks_parent(&self, i: usize) -> bool {
        let Some(parent) = self.jobs[i].parent else { return false };
        let state = self.jobs[self.newest(parent)].state;
        state.is_terminal() && state != JobState::Succeeded
    }

    /// Makes the new jobs: which one for which, and after which epoch each begins.
    fn again(&mut self, named: usize, begin: RetryBegin, dependents: Dependents) -> Vec<(JobId, JobId, u32)> {
        let mut open: Vec<usize> = match dependents {
            Dependents::Leave => vec![named],
            Dependents::Retry => self.reached(named),
        };
        open.retain(|i| self.can_be_retried(*i));
        let mut made = Vec::new();
        while !open.is_empty() {
            // Parents first.
            let waits = |i: &usize| self.jobs[*i].parent.is_some_and(|parent| open.contains(&self.newest(parent)));
            let (later, free): (Vec<_>, Vec<_>) = open.iter().copied().partition(waits);
            for i in free {
                if !self.lacks_parent(i) {
                    made.push(self.again_one(i, begin));
                }
            }
            open = later;
        }
        made
    }

    /// The job, earlier tries at it, and what was skipped because of any of these, in the order of ids.
    fn reached(&self, named: usize) -> Vec<usize> {
        let mut reached = HashSet::from([named]);
        loop {
            let is_new = |i: &usize| {
                let job = &self.jobs[*i];
                let is_earlier = job.retried_as.is_some_and(|later| reached.contains(&later));
                let is_behind = job.parent.is_some_and(|parent| reached.contains(&parent));
                !reached.contains(i) && (is_earlier || is_behind && job.state == JobState::Skipped)
            };
            let more: Vec<usize> = (0..self.jobs.len()).filter(is_new).collect();
            if more.is_empty() {
                let mut reached: Vec<usize> = reached.into_iter().collect();
                reached.sort_unstable();
                return reached;
            }
            reached.extend(more);
        }
    }

    fn again_one(&mut self, i: usize, begin: RetryBegin) -> (JobId, JobId, u32) {
        let new = self.jobs.len();
        let parent = self.jobs[i].parent.map(|parent| self.newest(parent));
        let is_open = parent.is_some_and(|parent| self.jobs[parent].state != JobState::Succeeded);
        let state = if is_open { JobState::Waiting } else { JobState::Queued };
        let resume = if begin == RetryBegin::Scratch { 0 } else { self.jobs[i].resume };
        let (stop, held, retries, crashes, cancel_acknowledged) = (None, false, 0, 0, false);
        let before = self.jobs[i].clone();
        self.jobs.push(Job { parent, state, stop, held, retries, crashes, resume, cancel_acknowledged, ..before });
        self.jobs[i].retried_as = Some(new);
        (id(i), id(new), resume)
    }

    async fn drain(&mut self, whom: Option<usize>) {
        let Some(worker) = whom else {
            // What runs gives way, unless it is being cancelled.
            self.bench.drain(DrainTarget::Daemon, DrainHow::Now).await.unwrap();
            self.is_drained = true;
            let running = self.jobs.iter_mut().filter(|job| job.state == JobState::Running);
            return running.for_each(|job| job.stop = Some(Stop::Preempt.and(job.stop)));
        };
        self.bench.drain(DrainTarget::Worker(self.workers[worker]), DrainHow::Finish).await.unwrap();
        self.drained[worker] = true;
    }

    async fn undrain(&mut self, whom: Option<usize>) {
        let target = whom.map_or(DrainTarget::Daemon, |worker| DrainTarget::Worker(self.workers[worker]));
        self.bench.undrain(target).await.unwrap();
        match whom {
            None => self.is_drained = false,
            Some(worker) => self.drained[worker] = false,
        }
    }

    /// Nobody keeps anything from going on.
    async fn let_go(&mut self) {
        for whom in [None, Some(0), Some(1)] {
            self.undrain(whom).await;
        }
        for i in 0..self.jobs.len() {
            if self.jobs[i].held {
                self.change(i, JobChange::Release).await;
            }
        }
    }

    /// Lets everything that is left come to its end.
    async fn come_to_the_end(mut self) -> Self {
        self.let_go().await;
        for _ in 0..1000 {
            self.bench.skip_time(70_000_000);
            for slot in 0..4 {
                self.lease(slot, true).await;
            }
            for i in 0..self.lives.len() {
                if self.is_current(&self.lives[i]) {
                    self.finish(i).await;
                }
            }
            if self.jobs.iter().all(|job| job.state.is_terminal()) {
                return self;
            }
        }
        panic!("jobs are left that never end");
    }

    /// The stored states are the model's, and the invariants of the design hold.
    async fn check(&self) {
        let listed = self.bench.store.jobs_by_id(&self.ids()).await.unwrap();
        assert_eq!(listed.len(), self.jobs.len(), "I1: an acknowledged job is missing");
        for (stored, job) in listed.iter().zip(&self.jobs) {
            assert_eq!(stored.state, job.state, "I2: job {}", stored.id);
            assert_eq!(
                (stored.stop, stored.held, stored.priority),
                (job.stop, job.held, job.priority),
                "job {}",
                stored.id
            );
            assert_eq!(stored.retried_as, job.retried_as.map(id), "job {}", stored.id);
            assert!(!job.cancel_acknowledged || stored.state != JobState::Succeeded, "I8: job {}", stored.id);
        }
        let running = self.bench.store.running().await.unwrap();
        let attempts: HashSet<_> = running.iter().map(|it| it.job).collect();
        assert_eq!(attempts.len(), running.len(), "I3: a job runs twice");
        for id in self.ids() {
            self.check_job(id).await;
        }
    }

    async fn check_job(&self, id: JobId) {
        let detail = self.bench.job(id).await;
        let epochs: Vec<u32> = detail.epochs.iter().map(|it| it.epoch).collect();
        assert_eq!(epochs, (1..=epochs.len() as u32).collect::<Vec<_>>(), "I4: job {id}");
        assert!(detail.attempts.iter().rev().skip(1).all(|it| it.ended_at.is_some()), "I3: job {id}");
        let state = detail.summary.state;
        for &parent in &detail.parents {
            let parent = self.jobs[index(parent)].state;
            match state {
                JobState::Queued | JobState::Running | JobState::Succeeded => assert_eq!(parent, JobState::Succeeded),
                JobState::Skipped => assert!(parent.is_terminal() && parent != JobState::Succeeded),
                JobState::Waiting => assert!(!parent.is_terminal()),
                JobState::Failed | JobState::Cancelled => {}
            }
        }
        let weights = detail.checkpoints.iter().filter(|it| it.role == CheckpointRole::Final).count();
        let trained = state == JobState::Succeeded && detail.summary.epochs_total > 0;
        assert!(!trained || weights > 0, "I6: job {id} has no weights");
        assert!(!trained || epochs.len() == 3, "I4: job {id} has not all of its epochs");
    }

    fn ids(&self) -> Vec<JobId> {
        (1..=self.jobs.len() as i64).map(JobId).collect()
    }
}

fn id(index: usize) -> JobId {
    JobId(index as i64 + 1)
}

fn index(job: JobId) -> usize {
    job.0 as usize - 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_the_model_and_keeps_its_invariants(ops in prop::collection::vec(op(), 20..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in ops {
                world = world.step(op).await;
                world.check().await;
            }
            world.come_to_the_end().await.check().await;
        });
    }
}
