//! Simulated workers: they speak the workers' protocol over TCP and train nothing, so that thousands of attempts cost little.
//! Some of them repeat themselves, speak out of order, die without a word, or freeze until their lease has run out and then
//! go on as if nothing had happened.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rrm_api::{ApiError, AttemptEnd, Client, VERSION};
use rrm_spec::{
    Assignment, AttemptId, AttemptOutcome, CheckpointRecord, CheckpointRole, Device, DeviceInfo, HeldAttempt, JobSpec,
    Record, Registration, WorkerId,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::dice::Dice;
use crate::journal::Journal;
use crate::ledger::Entry;
use crate::{records, sql};

/// A lease that takes longer is asked for anew.
const LONG_POLL: Duration = Duration::from_secs(3);

/// What simulated workers share.
pub(crate) struct Floor {
    pub(crate) client: Client,
    pub(crate) journal: Arc<Journal>,
    pub(crate) database: PathBuf,
    /// Where what they upload lies.
    pub(crate) folder: PathBuf,
    /// Whether nothing goes wrong any more.
    pub(crate) calm: watch::Receiver<bool>,
    /// Whether the round is over.
    pub(crate) over: watch::Receiver<bool>,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    /// Every call is sent twice at once, and once more later.
    Repeated,
    /// Ends come before records, and records with a gap.
    Disordered,
    /// It freezes until it has lost its lease, and goes on.
    Zombie,
    /// It dies with its worker, without a word.
    Death,
    Failure(AttemptOutcome),
}

/// How a try of a call went: whether the attempt may go on.
enum Told<T> {
    Answer(T),
    LeaseLost,
    Over,
}

impl Floor {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Calls until there is an answer that settles the matter.
    async fn insist<T, F>(&self, what: &str, call: impl Fn() -> F) -> Told<T>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        while !self.is_over() {
            match call().await {
                Ok(answer) => return Told::Answer(answer),
                Err(ApiError::LeaseLost) => return Told::LeaseLost,
                // The daemon is away, or its disk is full, or records are still on the way.
                Err(ApiError::Unavailable { .. } | ApiError::Exhausted { .. } | ApiError::Conflict { .. }) => {}
                Err(error) => {
                    self.journal.is_wrong(format!("{what}: {error}"));
                    return Told::Over;
                }
            }
            sleep(Duration::from_millis(50)).await; // The pause before another try.
        }
        Told::Over
    }
}

/// A worker with one device, and all that come after it dies.
pub(crate) async fn worker(number: usize, floor: Arc<Floor>, mut dice: Dice) {
    for generation in 0.. {
        if floor.is_over() {
            return;
        }
        let boot_id = format!("boot-{generation}-of-simulated-{number}");
        Desk { number, boot_id, floor: floor.clone(), held: Arc::default(), requests: 0 }.live(&mut dice).await;
    }
}

/// One life of a worker.
struct Desk {
    number: usize,
    boot_id: String,
    floor: Arc<Floor>,
    held: Arc<Mutex<Vec<AttemptId>>>,
    requests: u64,
}

impl Desk {
    async fn live(mut self, dice: &mut Dice) {
        let Some((mut worker, pause)) = self.register().await else { return };
        let mut hearts = self.heart(worker, pause);
        loop {
            let Some(assignment) = self.lease(&mut worker).await else { break };
            let way = draw_way(dice, *self.floor.calm.borrow());
            self.held.lock().expect("nobody panics with it").push(assignment.attempt);
            if way == Way::Death {
                break;
            }
            if way == Way::Zombie {
                hearts.abort();
                self.freeze(&assignment, dice).await;
                self.held.lock().expect("nobody panics with it").clear();
                // It finds itself forgotten, and introduces itself again.
                let Some((again, pause)) = self.register().await else { break };
                worker = again;
                hearts = self.heart(worker, pause);
                continue;
            }
            self.run(&assignment, way).await;
            self.held.lock().expect("nobody panics with it").clear();
        }
        hearts.abort();
    }

    async fn register(&self) -> Option<(WorkerId, Duration)> {
        let devices =
            vec![DeviceInfo { device: Device::Cuda(0), name: "simulated".into(), memory_mib: None, share: 1 }];
        let (node, version) = (format!("simulated-{}", self.number), VERSION.to_owned());
        let (boot_id, code_version) = (self.boot_id.clone(), version.clone());
        let registration = Registration { node, version, boot_id, devices, labels: Vec::new(), code_version };
        let told = self.floor.insist("register", || self.floor.client.register(registration.clone())).await;
        match told {
            Told::Answer(registered) => Some((registered.worker, Duration::from_millis(registered.heartbeat_ms))),
            Told::LeaseLost | Told::Over => None,
        }
    }

    fn heart(&self, worker: WorkerId, pause: Duration) -> tokio::task::JoinHandle<()> {
        let (client, held) = (self.floor.client.with_patience(Duration::ZERO), self.held.clone());
        tokio::spawn(async move {
            loop {
                let held = held.lock().expect("nobody panics with it").clone();
                let held = held.into_iter().map(|attempt| HeldAttempt { attempt, progress: None }).collect();
                // What it is told is found out by its calls, too.
                let _ = client.heartbeat(worker, held).await;
                sleep(pause).await; // The heartbeat's interval.
            }
        })
    }

    async fn lease(&mut self, worker: &mut WorkerId) -> Option<Assignment> {
        loop {
            if self.floor.is_over() {
                return None;
            }
            self.requests += 1;
            let request = format!("lease-{}-of-{}", self.requests, self.boot_id).parse().expect("it is a request id");
            // An answer that comes too late is lost, and repaired by the next call.
            let asked = self.floor.client.lease(*worker, request, vec![Device::Cuda(0)], vec![]);
            match timeout(LONG_POLL, asked).await {
                Ok(Ok(assignments)) => match assignments.into_iter().next() {
                    Some(assignment) => return Some(assignment),
                    None => continue,
                },
                Ok(Err(ApiError::NotFound { .. })) => *worker = self.register().await?.0,
                Ok(Err(ApiError::Unavailable { .. } | ApiError::Exhausted { .. })) | Err(_) => {}
                Ok(Err(error)) => self.floor.journal.is_wrong(format!("lease: {error}")),
            }
            sleep(Duration::from_millis(50)).await; // The pause before another try.
        }
    }

    /// Does all that a trainer does.
    async fn run(&self, assignment: &Assignment, way: Way) {
        let (all, attempt) = (whole_run(assignment), assignment.attempt);
        let (outcome, told) = match way {
            Way::Failure(outcome) => (outcome, all[..1].to_vec()),
            _ => (AttemptOutcome::Ok, all),
        };
        if way == Way::Disordered && !self.speaks_too_early(attempt, &told).await {
            return;
        }
        for (number, record) in told.iter().enumerate() {
            if let Record::Checkpoint(saved) = record
                && !self.upload(attempt, saved, way).await
            {
                return;
            }
            if !self.report(attempt, number as u64 + 1, &told[number..=number], way).await {
                return;
            }
        }
        self.settle(attempt, told.len() as u64, outcome, way).await;
    }

    /// An end before its records, and a record with a gap before it: neither may be taken.
    async fn speaks_too_early(&self, attempt: AttemptId, told: &[Record]) -> bool {
        let client = self.floor.client.with_patience(Duration::ZERO);
        match client.settle(attempt, told.len() as u64, end(AttemptOutcome::Ok)).await {
            Ok(()) => self.floor.journal.is_wrong(format!("attempt {attempt} was settled before its records came")),
            Err(ApiError::LeaseLost) => return false,
            Err(_) => {}
        }
        match client.report(attempt, told.len() as u64, told[told.len() - 1..].to_vec()).await {
            Ok(durable) if durable > 0 && told.len() > 1 => {
                self.floor.journal.is_wrong(format!("a record of attempt {attempt} was taken with a gap before it"));
            }
            Err(ApiError::LeaseLost) => return false,
            Ok(_) | Err(_) => {}
        }
        true
    }

    fn file(&self, content: &str) -> PathBuf {
        let path = self.floor.folder.join(format!("{}.part", records::hash(content)));
        std::fs::write(&path, content).expect("the round's folder can be written");
        path
    }

    async fn upload(&self, attempt: AttemptId, saved: &CheckpointRecord, way: Way) -> bool {
        let path = self.file(&records::content(attempt, saved.epoch, saved.role));
        let once = || self.floor.client.upload(attempt, &path, &saved.sha256, saved.bytes);
        let told = match way {
            Way::Repeated => tokio::join!(self.floor.insist("upload", &once), self.floor.insist("upload", &once)).0,
            _ => self.floor.insist("upload", &once).await,
        };
        let _ = std::fs::remove_file(&path); // A twin may have removed it.
        matches!(told, Told::Answer(()))
    }

    async fn report(&self, attempt: AttemptId, first: u64, told: &[Record], way: Way) -> bool {
        let begun = Instant::now();
        let once = || self.floor.client.report(attempt, first, told.to_vec());
        let answer = match way {
            Way::Repeated => tokio::join!(self.floor.insist("report", &once), self.floor.insist("report", &once)).0,
            _ => self.floor.insist("report", &once).await,
        };
        let Told::Answer(durable) = answer else { return false };
        if durable < first {
            self.floor.journal.is_wrong(format!("record {first} of attempt {attempt} was answered with {durable}"));
        }
        let epochs = told.iter().filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch.epoch),
            Record::Started(_) | Record::Checkpoint(_) | Record::Evaluation(_) | Record::Diagnostics(_) => None,
        });
        let entry = Entry::Report { attempt: attempt.0, durable, epochs: epochs.collect() };
        self.floor.journal.acknowledged(begun, &entry);
        true
    }

    async fn settle(&self, attempt: AttemptId, records: u64, outcome: AttemptOutcome, way: Way) {
        let begun = Instant::now();
        let once = || self.floor.client.settle(attempt, records, end(outcome));
        let Told::Answer(()) = self.floor.insist("settle", &once).await else { return };
        self.floor.journal.acknowledged(begun, &Entry::Settled { attempt: attempt.0, outcome: outcome.name() });
        if way == Way::Repeated {
            self.says_more(attempt, records, outcome).await;
        }
    }

    /// The same end again changes nothing, another end and another record are refused.
    async fn says_more(&self, attempt: AttemptId, records: u64, outcome: AttemptOutcome) {
        let client = self.floor.client.with_patience(Duration::ZERO);
        // A success without results was stored as another end, and is refused as one.
        let _ = client.settle(attempt, records, end(outcome)).await;
        let other = if outcome == AttemptOutcome::Oom { AttemptOutcome::Crashed } else { AttemptOutcome::Oom };
        let late = client.settle(attempt, records, end(other)).await;
        self.must_be_refused(late, "another end", attempt);
        let late = client.report(attempt, records + 1, vec![records::epoch(1)]).await;
        self.must_be_refused(late.map(drop), "a record", attempt);
    }

    /// Says nothing until the daemon has given it up, and then all that it has to say.
    async fn freeze(&self, assignment: &Assignment, dice: &mut Dice) {
        let (attempt, told) = (assignment.attempt, whole_run(assignment));
        let heard = dice.below(told.len() as u64) as usize;
        for (number, record) in told[..heard].iter().enumerate() {
            if matches!(record, Record::Checkpoint(_))
                || !self.report(attempt, number as u64 + 1, &told[number..=number], Way::Straight).await
            {
                break;
            }
        }
        while !sql::has_ended(&self.floor.database, attempt.0) {
            if self.floor.is_over() {
                return;
            }
            sleep(Duration::from_millis(100)).await; // The interval of asking.
        }
        late_words(&self.floor.client, &self.floor.journal, attempt).await;
    }

    fn must_be_refused(&self, told: Result<(), ApiError>, what: &str, attempt: AttemptId) {
        judge(&self.floor.journal, told, what, attempt);
    }
}

fn judge(journal: &Journal, told: Result<(), ApiError>, what: &str, attempt: AttemptId) {
    match told {
        Err(ApiError::LeaseLost) => journal.refused(),
        Ok(()) => journal.is_wrong(format!("{what} of attempt {attempt} was taken after its end")),
        // It could not be asked just now.
        Err(ApiError::Unavailable { .. } | ApiError::Exhausted { .. }) => {}
        Err(error) => journal.is_wrong(format!("{what} of attempt {attempt} after its end: {error}")),
    }
}

/// What an attempt that has ended must not say any more.
pub(crate) async fn late_words(client: &Client, journal: &Journal, attempt: AttemptId) {
    let late = client.report(attempt, 1, (1..=8).map(records::epoch).collect()).await;
    judge(journal, late.map(drop), "a late record", attempt);
    let late = client.settle(attempt, 0, end(AttemptOutcome::Ok)).await;
    judge(journal, late, "a late end", attempt);
}

fn end(outcome: AttemptOutcome) -> AttemptEnd {
    AttemptEnd { outcome, message: None, exit_code: None, signal: None }
}

fn draw_way(dice: &mut Dice, calm: bool) -> Way {
    if calm {
        return Way::Straight;
    }
    match dice.below(100) {
        0..12 => Way::Repeated,
        12..22 => Way::Disordered,
        22..27 => Way::Zombie,
        27..30 => Way::Death,
        30 => Way::Failure(AttemptOutcome::UserError),
        31..33 => Way::Failure(AttemptOutcome::Oom),
        33 => Way::Failure(AttemptOutcome::Crashed),
        _ => Way::Straight,
    }
}

fn whole_run(assignment: &Assignment) -> Vec<Record> {
    let (attempt, epochs) = (assignment.attempt, assignment.spec.epochs());
    let resumed = assignment.resume.as_ref().map_or(0, |resume| resume.epoch);
    let mut told = vec![records::started(resumed + 1)];
    match &assignment.spec {
        JobSpec::Evaluate(spec) => told.push(records::evaluation(spec)),
        JobSpec::Train(_) | JobSpec::Synthesize(_) => {
            for number in resumed + 1..=epochs {
                told.push(records::epoch(number));
                told.push(records::checkpoint(attempt, number, CheckpointRole::Resume));
            }
            told.push(records::checkpoint(attempt, epochs, CheckpointRole::Final));
        }
    }
    told
}
