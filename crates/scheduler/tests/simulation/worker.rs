//! A worker with its trainers, as far as the daemon can tell: it repeats what was not answered until it is.

use std::collections::HashSet;
use std::time::Duration;

use rrm_api::ApiError;
use rrm_spec::{Assignment, AttemptId, AttemptOutcome, CheckpointRole, Device, Instruction, JobSpec, Record, WorkerId};

use crate::dice::Dice;
use crate::network::{Answer, Call, Life};
use crate::records;

/// A trainer at work.
pub(crate) struct Trainer {
    pub(crate) assignment: Assignment,
    records: Vec<Record>,
    /// Highest number that the daemon has acknowledged.
    durable: u64,
    uploaded: HashSet<String>,
    epoch: u32,
    stop: bool,
    end: Option<AttemptOutcome>,
}

pub(crate) struct Worker {
    pub(crate) life: Life,
    pub(crate) devices: Vec<Device>,
    id: Option<WorkerId>,
    /// Kept until it is answered.
    request: u64,
    pub(crate) trainers: Vec<Trainer>,
    /// Until then it is stopped, and hears and says nothing.
    pub(crate) frozen_until: Duration,
}

impl Trainer {
    fn new(assignment: Assignment) -> Self {
        let epoch = assignment.resume.as_ref().map_or(0, |resume| resume.epoch);
        Self { assignment, records: vec![], durable: 0, uploaded: HashSet::new(), epoch, stop: false, end: None }
    }

    /// Does a little, or comes to an end.
    fn work(&mut self, dice: &mut Dice, calm: bool) {
        use AttemptOutcome::{Crashed, Ok, Oom, Stopped, UserError, WorkerError};
        if self.end.is_some() {
            return;
        }
        if self.stop {
            self.end = Some(Stopped);
        } else if !calm && dice.percent(4) {
            self.end = dice.pick(&[Crashed, Oom, UserError, WorkerError, Stopped]).copied();
        } else if self.records.is_empty() {
            self.records.push(records::started(self.epoch + 1));
        } else if self.advance() {
            self.end = Some(Ok);
        }
    }

    /// Trains an epoch, or makes the result; whether that was all.
    fn advance(&mut self) -> bool {
        let attempt = self.assignment.attempt;
        match &self.assignment.spec {
            JobSpec::Evaluate(spec) => {
                self.records.push(records::evaluation(spec));
                true
            }
            JobSpec::Train(_) | JobSpec::Synthesize(_) => {
                let epochs = self.assignment.spec.epochs();
                if self.epoch < epochs {
                    self.epoch += 1;
                    self.records.push(records::epoch(self.epoch));
                    self.records.push(records::checkpoint(attempt, self.epoch, CheckpointRole::Resume));
                    return false;
                }
                self.records.push(records::checkpoint(attempt, epochs, CheckpointRole::Final));
                true
            }
        }
    }

    /// What is to be said now.
    fn words(&self, from: Life, dice: &mut Dice, calm: bool) -> Vec<Call> {
        let (attempt, job) = (self.assignment.attempt, self.assignment.job);
        let mut calls = Vec::new();
        let mut sendable = self.records.len();
        for (number, record) in self.records.iter().enumerate() {
            let Record::Checkpoint(saved) = record else { continue };
            let content = records::content(attempt, saved.epoch, saved.role);
            if !self.uploaded.contains(&content) {
                sendable = sendable.min(number);
                calls.push(Call::Upload { from, attempt, content });
            }
        }
        let durable = (self.durable as usize).min(sendable);
        // Sometimes with a gap before it, sometimes from further back than needed.
        let first = match calm || sendable == 0 {
            true => durable,
            false => match dice.below(10) {
                0 => (durable + 1).min(sendable),
                1 => 0,
                _ => durable,
            },
        };
        if first < sendable {
            let records = self.records[first..sendable].to_vec();
            calls.push(Call::Report { from, job, attempt, first: first as u64 + 1, records });
        }
        let is_told = self.durable as usize == self.records.len();
        // Sometimes too early.
        if let Some(outcome) = self.end
            && (is_told || !calm && dice.percent(10))
        {
            calls.push(Call::Settle { from, job, attempt, records: self.records.len() as u64, outcome });
        }
        calls
    }
}

impl Worker {
    pub(crate) fn new(number: usize, devices: Vec<Device>) -> Self {
        Self { life: (number, 0), devices, id: None, request: 0, trainers: vec![], frozen_until: Duration::ZERO }
    }

    /// Dies, and is started again by whoever watches over it.
    pub(crate) fn dies(&mut self) {
        let (number, generation) = self.life;
        *self = Self { life: (number, generation + 1), ..Self::new(number, self.devices.clone()) };
    }

    pub(crate) fn boot_id((number, generation): Life) -> String {
        format!("boot-{generation}-of-worker-{number}")
    }

    pub(crate) fn id(&self) -> Option<WorkerId> {
        self.id
    }

    fn held(&self) -> Vec<AttemptId> {
        self.trainers.iter().map(|trainer| trainer.assignment.attempt).collect()
    }

    pub(crate) fn beat(&self) -> Call {
        match self.id {
            Some(worker) => Call::Heartbeat { from: self.life, worker, held: self.held() },
            None => Call::Register { from: self.life },
        }
    }

    /// Lets every trainer work, and says what is to be said.
    pub(crate) fn work(&mut self, dice: &mut Dice, calm: bool) -> Vec<Call> {
        let Some(worker) = self.id else { return vec![] };
        let mut calls = Vec::new();
        for trainer in &mut self.trainers {
            trainer.work(dice, calm);
            calls.extend(trainer.words(self.life, dice, calm));
        }
        let busy: Vec<Device> = self.trainers.iter().map(|trainer| trainer.assignment.device).collect();
        let free: Vec<Device> = self.devices.iter().copied().filter(|device| !busy.contains(device)).collect();
        if !free.is_empty() {
            calls.push(Call::Lease { from: self.life, worker, request: self.request, free, held: self.held() });
        }
        calls
    }

    pub(crate) fn hears(&mut self, answer: Answer) {
        match answer {
            Answer::Registered(id) => self.id = Some(id),
            Answer::Unknown => self.id = None,
            Answer::Leased(assignments) => self.takes(assignments),
            Answer::Beat(reply) => {
                if reply.known.is_none() {
                    self.id = None;
                }
                for (attempt, instruction) in reply.instructions {
                    self.obeys(attempt, instruction);
                }
            }
            Answer::Uploaded(attempt, content, Ok(())) => {
                if let Some(trainer) = self.trainer(attempt) {
                    trainer.uploaded.insert(content);
                }
            }
            Answer::Durable(attempt, Ok(durable)) => {
                if let Some(trainer) = self.trainer(attempt) {
                    trainer.durable = trainer.durable.max(durable);
                }
            }
            Answer::Settled(attempt, Ok(())) => self.lets_go(attempt),
            Answer::Uploaded(attempt, _, Err(error))
            | Answer::Durable(attempt, Err(error))
            | Answer::Settled(attempt, Err(error)) => self.is_refused(attempt, &error),
        }
    }

    fn takes(&mut self, assignments: Vec<Assignment>) {
        if !assignments.is_empty() {
            self.request += 1;
        }
        for assignment in assignments {
            let is_known = self.trainers.iter().any(|it| it.assignment.attempt == assignment.attempt);
            let is_busy = self.trainers.iter().any(|it| it.assignment.device == assignment.device);
            if !is_known && !is_busy {
                self.trainers.push(Trainer::new(assignment));
            }
        }
    }

    fn obeys(&mut self, attempt: AttemptId, instruction: Instruction) {
        match instruction {
            Instruction::Continue => {}
            Instruction::Stop => {
                if let Some(trainer) = self.trainer(attempt) {
                    trainer.stop = true;
                }
            }
            Instruction::Abandon => self.lets_go(attempt),
        }
    }

    fn is_refused(&mut self, attempt: AttemptId, error: &ApiError) {
        if *error == ApiError::LeaseLost {
            self.lets_go(attempt);
        }
    }

    fn lets_go(&mut self, attempt: AttemptId) {
        self.trainers.retain(|trainer| trainer.assignment.attempt != attempt);
    }

    fn trainer(&mut self, attempt: AttemptId) -> Option<&mut Trainer> {
        self.trainers.iter_mut().find(|trainer| trainer.assignment.attempt == attempt)
    }
}
