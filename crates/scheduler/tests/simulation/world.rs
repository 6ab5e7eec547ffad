//! A world made of a seed: users, workers, a network, a daemon, fate; and what was acknowledged in it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rrm_api::{ApiError, AttemptEnd, Caller, Role, Service, Source, Upload, VERSION, Wishes};
use rrm_scheduler::{Clock, Daemon, StateDir, Terms};
use rrm_spec::{
    AttemptId, AttemptOutcome, Device, DeviceInfo, HeldAttempt, JobId, JobState, Plan, Record, Registration, RequestId,
    UserName, WorkerId,
};
use tempfile::TempDir;

use crate::dice::Dice;
use crate::invariants::{Moment, violations};
use crate::ledger::{Entry, Ledger};
use crate::network::{Agenda, Answer, Call, Happening, Life, Network, Traffic};
use crate::plans::plan;
use crate::records::hash;
use crate::worker::Worker;

const USER: Caller = Caller { user: UserName::lab(), role: Role::Admin, expires_at: None };
const WORKER: Caller = Caller { user: UserName::lab(), role: Role::Work, expires_at: None };
pub(crate) const TTL: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_secs(5);
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// For how long things go wrong.
const STORM: Duration = Duration::from_secs(12 * 60);
/// By when everything must have come to its end, once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
const PLANS: usize = 6;
/// Calls between two looks at the whole database.
const LOOK: u64 = 120;

/// What has happened in one life, or in many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    traffic: Traffic,
    calls: u64,
    refused_late: u64,
    acknowledged: usize,
    daemon_restarts: u64,
    worker_deaths: u64,
    freezes: u64,
    wall_jumps: u64,
    ends: HashMap<&'static str, u64>,
    looks: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.traffic.sent += other.traffic.sent;
        self.traffic.lost += other.traffic.lost;
        self.traffic.repeated += other.traffic.repeated;
        self.traffic.late += other.traffic.late;
        self.calls += other.calls;
        self.refused_late += other.refused_late;
        self.acknowledged += other.acknowledged;
        self.daemon_restarts += other.daemon_restarts;
        self.worker_deaths += other.worker_deaths;
        self.freezes += other.freezes;
        self.wall_jumps += other.wall_jumps;
        self.looks += other.looks;
        for (end, count) in &other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }

    /// Whether enough went wrong that the invariants were put to the test; of a single life nobody can ask that.
    pub(crate) fn saw_everything(&self, lives: u64) -> bool {
        let faults = [self.refused_late, self.daemon_restarts, self.worker_deaths, self.freezes, self.wall_jumps];
        let ends = [JobState::Succeeded, JobState::Failed, JobState::Cancelled, JobState::Skipped];
        lives < 10 || faults.iter().all(|&count| count > 0) && ends.iter().all(|end| self.ends.contains_key(end.name()))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { sent, lost, repeated, late } = self.traffic;
        let mut ends: Vec<_> = self.ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        ends.sort();
        write!(
            f,
            "{sent} messages ({lost} lost, {repeated} repeated, {late} late), {} calls, {} acknowledged, {} late words refused, \
             {} restarts of the daemon, {} deaths and {} freezes of workers, {} jumps of the wall clock, {} looks at the \
             database; jobs: {}",
            self.calls,
            self.acknowledged,
            self.refused_late,
            self.daemon_restarts,
            self.worker_deaths,
            self.freezes,
            self.wall_jumps,
            self.looks,
            ends.join(", ")
        )
    }
}

struct Submission {
    request: RequestId,
    plan: Plan,
}

pub(crate) struct World {
    folder: TempDir,
    database: std::path::PathBuf,
    dice: Dice,
    clock: Clock,
    now: Duration,
    state: StateDir,
    daemon: Daemon,
    agenda: Agenda,
    network: Network,
    workers: Vec<Worker>,
    submissions: Vec<Submission>,
    jobs: Vec<JobId>,
    ledger: Ledger,
    tally: Tally,
}

impl World {
    /// A whole life; what does not hold, where something does not.
    pub(crate) async fn live(seed: u64) -> Result<Tally, String> {
        let mut world = Self::new(seed).await;
        let lived = world.until_rest().await;
        world.daemon.close().await;
        lived?;
        world.tally.traffic = world.network.traffic;
        world.tally.acknowledged = world.ledger.len();
        Ok(world.tally)
    }

    /// What a whole life leaves: the database in a folder of its own, and what was acknowledged.
    pub(crate) async fn relics(seed: u64) -> Result<(TempDir, Ledger), String> {
        let mut world = Self::new(seed).await;
        let lived = world.until_rest().await;
        world.daemon.close().await;
        lived?;
        Ok((world.folder, world.ledger))
    }

    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made");
        let state = StateDir::open(folder.path()).expect("the folder is new");
        let clock = Clock::standing_at(1_700_000_000_000_000);
        let daemon = open(&clock, &state).await;
        let devices = |number: usize| (0..=number as u32).map(Device::Cuda).chain([Device::Cpu]).collect();
        let mut world = Self {
            database: state.database(),
            folder,
            dice: Dice::new(seed),
            clock,
            now: Duration::ZERO,
            state,
            daemon,
            agenda: Agenda::default(),
            network: Network::default(),
            workers: (0..3).map(|number| Worker::new(number, devices(number))).collect(),
            submissions: vec![],
            jobs: vec![],
            ledger: Ledger::default(),
            tally: Tally::default(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for worker in 0..self.workers.len() {
            self.rouse(worker);
        }
        for what in [Happening::Sweep, Happening::Collect, Happening::User, Happening::Fate] {
            self.agenda.at(Duration::ZERO, what);
        }
    }

    fn rouse(&mut self, worker: usize) {
        let life = self.workers[worker].life;
        self.agenda.at(self.now, Happening::Beat(life));
        self.agenda.at(self.now, Happening::Work(life));
    }

    async fn until_rest(&mut self) -> Result<(), String> {
        while let Some((at, what)) = self.agenda.next() {
            self.clock.advance(at - self.now);
            self.now = at;
            self.network.calm = self.now > STORM;
            self.happen(what).await?;
            if self.now > STORM + PATIENCE || self.network.calm && self.has_ended().await {
                break;
            }
        }
        self.look(Moment::AtRest).await?;
        self.count_ends().await;
        Ok(())
    }

    async fn happen(&mut self, what: Happening) -> Result<(), String> {
        match what {
            Happening::Arrival(call) => self.arrive(call).await?,
            Happening::Return(life, answer) => self.bring(life, answer),
            Happening::Beat(life) => self.beat(life),
            Happening::Work(life) => self.work(life),
            Happening::Sweep => {
                let now = self.clock.now();
                self.daemon.expire(now).await.map_err(|error| format!("expiring failed: {error}"))?;
                self.agenda.at(self.now + TTL / 10, Happening::Sweep);
            }
            Happening::Collect => {
                let now = self.clock.wall_us();
                self.daemon.collect(now).await.map_err(|error| format!("collecting failed: {error}"))?;
                self.agenda.at(self.now + Duration::from_secs(20), Happening::Collect);
            }
            Happening::User => self.user_acts(),
            Happening::Fate => self.fate().await,
        }
        Ok(())
    }

    /// The worker that lives this life, unless it is dead.
    fn living(&mut self, life: Life) -> Option<&mut Worker> {
        self.workers.get_mut(life.0).filter(|worker| worker.life == life)
    }

    fn send(&mut self, call: &Call) {
        for delay in self.network.delays(&mut self.dice) {
            self.agenda.at(self.now + delay, Happening::Arrival(call.clone()));
        }
    }

    fn reply(&mut self, to: Life, answer: &Answer) {
        for delay in self.network.delays(&mut self.dice) {
            self.agenda.at(self.now + delay, Happening::Return(to, answer.clone()));
        }
    }

    fn bring(&mut self, life: Life, answer: Answer) {
        let now = self.now;
        let Some(worker) = self.living(life) else { return };
        match worker.frozen_until > now {
            // It waits in the socket's buffer.
            true => {
                let at = worker.frozen_until;
                self.agenda.at(at, Happening::Return(life, answer));
            }
            false => worker.hears(answer),
        }
    }

    fn beat(&mut self, life: Life) {
        let now = self.now;
        let Some(worker) = self.living(life) else { return };
        let (frozen_until, call) = (worker.frozen_until, worker.beat());
        if frozen_until > now {
            return self.agenda.at(frozen_until, Happening::Beat(life));
        }
        self.send(&call);
        self.agenda.at(self.now + TTL / 3, Happening::Beat(life));
    }

    fn work(&mut self, life: Life) {
        let (now, calm) = (self.now, self.network.calm);
        let mut dice = self.dice.clone();
        let Some(worker) = self.living(life) else { return };
        if worker.frozen_until > now {
            let at = worker.frozen_until;
            return self.agenda.at(at, Happening::Work(life));
        }
        let calls = worker.work(&mut dice, calm);
        self.dice = dice;
        calls.iter().for_each(|call| self.send(call));
        let pause = self.dice.between(Duration::from_secs(1), Duration::from_secs(5));
        self.agenda.at(self.now + pause, Happening::Work(life));
    }

    /// Plans that nobody has acknowledged yet.
    fn unanswered(&self) -> Vec<usize> {
        let is_stored = |request: &str| self.ledger.submissions.iter().any(|it| it["request"] == request);
        (0..self.submissions.len()).filter(|&number| !is_stored(self.submissions[number].request.as_str())).collect()
    }

    fn user_acts(&mut self) {
        let pause = self.dice.between(Duration::from_secs(2), Duration::from_secs(40));
        self.agenda.at(self.now + pause, Happening::User);
        if self.network.calm {
            return self.unanswered().into_iter().for_each(|number| self.send(&Call::Submit { number }));
        }
        if self.submissions.len() < PLANS && self.dice.percent(60) {
            let number = self.submissions.len();
            let request = format!("request-{number}").parse().expect("it is a request id");
            let plan = plan(&format!("plan {number}"), &mut self.dice);
            self.submissions.push(Submission { request, plan });
        }
        if !self.submissions.is_empty() {
            // Again and again, whether it was answered or not.
            let number = self.dice.below(self.submissions.len() as u64) as usize;
            self.send(&Call::Submit { number });
            if self.dice.percent(10) {
                self.send(&Call::Contradict { number });
            }
        }
        if self.dice.percent(25)
            && let Some(&job) = self.dice.pick(&self.jobs)
        {
            self.send(&Call::Cancel { job });
        }
    }

    async fn fate(&mut self) {
        if self.network.calm {
            return;
        }
        let victim = self.dice.below(self.workers.len() as u64) as usize;
        match self.dice.below(10) {
            0..3 => {
                self.tally.daemon_restarts += 1;
                self.daemon.close().await;
                self.daemon = open(&self.clock, &self.state).await;
            }
            3..5 => {
                self.tally.worker_deaths += 1;
                self.workers[victim].dies();
                self.rouse(victim);
            }
            5..8 => {
                self.tally.freezes += 1;
                self.workers[victim].frozen_until = self.now + self.dice.between(TTL / 3, 4 * TTL);
            }
            8 => {
                self.tally.wall_jumps += 1;
                let forward = self.dice.percent(50);
                let by = self.dice.between(Duration::ZERO, Duration::from_secs(if forward { 86_400 } else { 60 }));
                let by_us = by.as_micros() as i64;
                self.clock.set_wall(if forward { by_us } else { -by_us });
            }
            _ => {
                if let Some(worker) = self.workers[victim].id() {
                    self.send(&Call::Deregister { worker });
                }
            }
        }
        let pause = self.dice.between(Duration::from_secs(5), 2 * TTL);
        self.agenda.at(self.now + pause, Happening::Fate);
    }

    async fn arrive(&mut self, call: Call) -> Result<(), String> {
        self.tally.calls += 1;
        match call {
            Call::Submit { number } => self.submit(number).await?,
            Call::Contradict { number } => self.contradict(number).await?,
            Call::Cancel { job } => self.cancel(job).await?,
            Call::Register { from } => self.register(from).await?,
            Call::Lease { from, worker, request, free, held } => self.lease(from, worker, request, free, held).await?,
            Call::Heartbeat { from, worker, held } => self.heartbeat(from, worker, held).await?,
            Call::Upload { from, attempt, content } => self.upload(from, attempt, content).await,
            Call::Report { from, job, attempt, first, records } => {
                self.report(from, (job, attempt), first, records).await?;
            }
            Call::Settle { from, job, attempt, records, outcome } => {
                self.settle(from, (job, attempt), records, outcome).await?;
            }
            Call::Deregister { worker } => {
                let left = self.daemon.deregister(WORKER, worker).await;
                left.map_err(|error| format!("worker {worker} cannot leave: {error}"))?;
            }
        }
        if self.tally.calls.is_multiple_of(LOOK) { self.look(Moment::Underway).await } else { Ok(()) }
    }

    async fn submit(&mut self, number: usize) -> Result<(), String> {
        let Submission { request, plan } = &self.submissions[number];
        let source = Source { client_version: VERSION.into(), host: "simulation".into() };
        let (request, plan) = (request.clone(), plan.clone());
        let told = self.daemon.submit(USER, request.clone(), plan.clone(), source, Wishes::default()).await;
        let told = told.map_err(|error| format!("{} is refused: {error}", request.as_str()))?;
        let jobs: Vec<JobId> = told.jobs.iter().map(|(id, _)| *id).collect();
        let (plan, submission) = (plan.name, told.submission.0);
        self.ledger.add(&Entry::Submission {
            request: request.as_str().to_owned(),
            plan,
            submission,
            jobs: jobs.iter().map(|id| id.0).collect(),
        });
        if !told.already {
            self.jobs.extend(jobs);
        }
        Ok(())
    }

    async fn contradict(&mut self, number: usize) -> Result<(), String> {
        let Submission { request, plan } = &self.submissions[number];
        let is_stored = self.ledger.submissions.iter().any(|it| it["request"] == request.as_str());
        if !is_stored {
            return Ok(());
        }
        let other = Plan { name: format!("{} contradicted", plan.name), ..plan.clone() };
        let source = Source { client_version: VERSION.into(), host: "simulation".into() };
        match self.daemon.submit(USER, request.clone(), other, source, Wishes::default()).await {
            Err(ApiError::Conflict { .. }) => Ok(()),
            told => Err(format!("another plan under {} is answered with {told:?}", request.as_str())),
        }
    }

    async fn cancel(&mut self, job: JobId) -> Result<(), String> {
        match self.daemon.cancel(USER, vec![job]).await {
            Ok(_) => self.ledger.add(&Entry::Cancel { job: job.0 }),
            Err(ApiError::Precondition { .. }) => {}
            Err(error) => return Err(format!("cancelling job {job} fails: {error}")),
        }
        Ok(())
    }

    async fn register(&mut self, from: Life) -> Result<(), String> {
        let devices = self.workers[from.0].devices.iter();
        let devices = devices
            .map(|&device| DeviceInfo { device, name: "simulated".into(), memory_mib: None, share: 1 })
            .collect();
        let (node, version) = (format!("node-{}", from.0), VERSION.to_owned());
        let (boot_id, code_version) = (Worker::boot_id(from), version.clone());
        let registration = Registration { node, version, boot_id, devices, labels: Vec::new(), code_version };
        let told = self.daemon.register(WORKER, registration).await;
        let told = told.map_err(|error| format!("worker {from:?} is refused: {error}"))?;
        self.reply(from, &Answer::Registered(told.worker));
        Ok(())
    }

    async fn lease(
        &mut self,
        from: Life,
        worker: WorkerId,
        request: u64,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> Result<(), String> {
        let request = format!("lease-{request}-of-{}", Worker::boot_id(from)).parse().expect("it is a request id");
        match self.daemon.lease_at_once(WORKER, worker, request, free, held).await {
            Ok(assignments) => self.reply(from, &Answer::Leased(assignments)),
            Err(ApiError::NotFound { .. }) => self.reply(from, &Answer::Unknown),
            Err(error) => return Err(format!("worker {worker} gets no job: {error}")),
        }
        Ok(())
    }

    async fn heartbeat(&mut self, from: Life, worker: WorkerId, held: Vec<AttemptId>) -> Result<(), String> {
        let held = held.into_iter().map(|attempt| HeldAttempt { attempt, progress: None }).collect();
        let told = self.daemon.heartbeat(WORKER, worker, held).await;
        let told = told.map_err(|error| format!("worker {worker}'s heartbeat fails: {error}"))?;
        self.reply(from, &Answer::Beat(told));
        Ok(())
    }

    async fn upload(&mut self, from: Life, attempt: AttemptId, content: String) {
        let upload = Upload { attempt, sha256: hash(&content), bytes: content.len() as u64 };
        let body = Box::pin(tokio_stream::iter([Ok(Bytes::from(content.clone()))]));
        let told = self.daemon.upload(WORKER, upload, body).await;
        self.reply(from, &Answer::Uploaded(attempt, content, told));
    }

    /// How the attempt has ended, as the daemon shows it to users; nothing where it is open.
    async fn end_of(&self, job: JobId, attempt: AttemptId) -> Result<Option<AttemptOutcome>, String> {
        let detail = self.daemon.job(USER, job).await.map_err(|error| format!("job {job} cannot be shown: {error}"))?;
        let found = detail.attempts.into_iter().find(|it| it.id == attempt);
        Ok(found.ok_or(format!("attempt {attempt} of job {job} is not shown"))?.outcome)
    }

    async fn report(
        &mut self,
        from: Life,
        (job, attempt): (JobId, AttemptId),
        first: u64,
        records: Vec<Record>,
    ) -> Result<(), String> {
        let end = self.end_of(job, attempt).await?;
        let told = self.daemon.report(WORKER, attempt, first, records.clone()).await;
        match (&told, end) {
            (Ok(durable), None) => {
                let taken = records.iter().take(durable.saturating_sub(first - 1) as usize);
                let epochs = taken.filter_map(|record| match record {
                    Record::Epoch(epoch) => Some(epoch.epoch),
                    Record::Started(_) | Record::Checkpoint(_) | Record::Evaluation(_) | Record::Diagnostics(_) => None,
                });
                self.ledger.add(&Entry::Report { attempt: attempt.0, durable: *durable, epochs: epochs.collect() });
            }
            (Err(ApiError::LeaseLost), Some(_)) => self.tally.refused_late += 1,
            _ => return Err(format!("attempt {attempt}, which ended with {end:?}, reports {first}..: {told:?}")),
        }
        self.reply(from, &Answer::Durable(attempt, told));
        Ok(())
    }

    async fn settle(
        &mut self,
        from: Life,
        (job, attempt): (JobId, AttemptId),
        records: u64,
        outcome: AttemptOutcome,
    ) -> Result<(), String> {
        let end = self.end_of(job, attempt).await?;
        let told = AttemptEnd { outcome, message: None, exit_code: None, signal: None };
        let told = self.daemon.settle(WORKER, attempt, records, told).await;
        match (&told, end) {
            (Ok(()), None) => self.ledger.add(&Entry::Settled { attempt: attempt.0, outcome: outcome.name() }),
            // Its records, or its file, are still on the way.
            (Err(ApiError::Conflict { .. }), None) => {}
            (Ok(()), Some(before)) if before == outcome => {}
            (Err(ApiError::LeaseLost), Some(_)) => self.tally.refused_late += 1,
            _ => return Err(format!("attempt {attempt}, which ended with {end:?}, ends with {outcome:?}: {told:?}")),
        }
        self.reply(from, &Answer::Settled(attempt, told));
        Ok(())
    }

    async fn has_ended(&self) -> bool {
        let filter = rrm_api::JobFilter {
            states: vec![JobState::Waiting, JobState::Queued, JobState::Running],
            submission: None,
            needs: None,
            before: None,
            limit: 1,
        };
        let left = self.daemon.list(USER, filter).await.expect("the database can be read");
        left.is_empty() && self.unanswered().is_empty()
    }

    async fn count_ends(&mut self) {
        for &job in &self.jobs {
            let state = self.daemon.job(USER, job).await.expect("the job was acknowledged").summary.state;
            *self.tally.ends.entry(state.name()).or_default() += 1;
        }
    }

    async fn look(&mut self, moment: Moment) -> Result<(), String> {
        self.tally.looks += 1;
        let found = violations(&self.database, &self.ledger, moment);
        let found = found.map_err(|error| format!("the database cannot be looked at: {error}"))?;
        match found.is_empty() {
            true => Ok(()),
            false => Err(found.iter().map(|violation| format!("{violation}\n")).collect()),
        }
    }
}

async fn open(clock: &Clock, state: &StateDir) -> Daemon {
    Daemon::open_by(clock.clone(), state, Terms::new(TTL), BACKOFF, KEEP).await.expect("the daemon starts")
}
