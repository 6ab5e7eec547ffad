//! What a job tells while it works, and whether it is told to stop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rrm_models::Model;
use rrm_spec::{ArtifactHash, Event, Progress, Record, RunStarted};

use crate::{error::Halt, interrupt::Interruptible};

/// How often progress is told: often enough for a live display, seldom enough to cost nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// Progress and records out, the stop flag in.
///
/// Work is counted in units of one image's forward pass, so that the share done predicts the time left even where epochs
/// and validations cost differently; see [`crate::work`].
pub(crate) struct Monitor<'a> {
    sink: &'a mut dyn FnMut(Event),
    stop: &'a AtomicBool,
    done: u64,
    total: u64,
    phase: Phase,
    told: Option<Instant>,
    spec_sha256: Option<ArtifactHash>,
}

struct Phase {
    name: String,
    start: Instant,
    images: u64,
}

impl Phase {
    fn new(name: String) -> Self {
        Self { name, start: Instant::now(), images: 0 }
    }

    fn images_per_second(&self, now: Instant) -> f64 {
        let seconds = now.duration_since(self.start).as_secs_f64();
        if seconds > 0.0 { self.images as f64 / seconds } else { 0.0 }
    }
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(sink: &'a mut dyn FnMut(Event), stop: &'a AtomicBool) -> Self {
        Self { sink, stop, done: 0, total: 0, phase: Phase::new("starting".to_owned()), told: None, spec_sha256: None }
    }

    /// The same for a job whose spec has that hash.
    pub(crate) fn of_spec(self, sha256: ArtifactHash) -> Self {
        Self { spec_sha256: Some(sha256), ..self }
    }

    /// Tells that the job has begun.
    pub(crate) fn start(&mut self, run: RunStarted) {
        let spec_sha256 = self.spec_sha256.clone();
        self.record(Record::Started(RunStarted { spec_sha256, ..run }));
    }

    /// Sets the size of the job, and how much of it earlier attempts have done.
    pub(crate) fn expect(&mut self, done: u64, total: u64) {
        (self.done, self.total) = (done, total);
    }

    /// Begins a phase, such as `epoch 3/12`.
    pub(crate) fn begin(&mut self, phase: String) {
        self.phase = Phase::new(phase);
        self.tell();
    }

    /// Adds finished images and the work that they were.
    pub(crate) fn advance(&mut self, images: u64, work: u64) {
        self.phase.images += images;
        self.done = (self.done + work).min(self.total);
        self.tell();
    }

    /// Ends the job here where it was told to stop.
    pub(crate) fn proceed(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Stopped) } else { Ok(()) }
    }

    /// The network, whose passes end where the job is told to stop: for what asks it of many between two calls of
    /// [`Self::proceed`].
    pub(crate) fn interruptible<'m>(&self, model: &'m dyn Model) -> Interruptible<'m>
    where
        'a: 'm,
    {
        Interruptible::new(model, self.stop)
    }

    /// Tells a fact that must be kept.
    pub(crate) fn record(&mut self, record: Record) {
        (self.sink)(Event::Record(record));
    }

    fn tell(&mut self) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now.duration_since(told) < INTERVAL) {
            return;
        }
        self.told = Some(now);
        (self.sink)(Event::Progress(Progress {
            phase: self.phase.name.clone(),
            done: self.done,
            total: self.total,
            images_per_second: self.phase.images_per_second(now),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_at_once_and_then_seldom() {
        let (mut events, stop) = (Vec::new(), AtomicBool::new(false));
        let mut sink = |event| events.push(event);
        let mut monitor = Monitor::new(&mut sink, &stop);
        monitor.expect(0, 1000);
        let start = Instant::now();
        monitor.begin("epoch 1/1".to_owned());
        (0..1000).for_each(|_| monitor.advance(1, 1));
        let allowed = 1 + start.elapsed().as_millis() / INTERVAL.as_millis();
        assert!(!events.is_empty() && events.len() as u128 <= allowed, "{} events", events.len());
    }

    #[test]
    fn records_are_never_throttled() {
        let (mut records, stop) = (0, AtomicBool::new(false));
        let mut sink = |event| records += u32::from(matches!(event, Event::Record(_)));
        let mut monitor = Monitor::new(&mut sink, &stop);
        let started = RunStarted {
            device: "cpu".into(),
            threads: 1,
            code_version: "0".into(),
            parameters: 1,
            first_epoch: 1,
            data_sha256: None,
            spec_sha256: None,
        };
        (0..10).for_each(|_| monitor.record(Record::Started(started.clone())));
        assert_eq!(records, 10);
    }
}
