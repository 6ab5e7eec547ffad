//! One worker's turn: the queue's jobs are offered to it in their order.

use super::node::{Demand, NOBODY_KNOWS, Node, Part, Seat};
use crate::{Device, JobId};

/// For so long jobs behind may pass one that asks for more than is free. After that what it needs is kept for it.
pub const PATIENCE_US: i64 = 15 * 60 * 1_000_000;

/// A job that may be next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub job: JobId,
    /// What it needs.
    pub demand: Demand,
    /// Since when it is ready, in microseconds since the Unix epoch.
    pub queued_at: i64,
    /// The longest that an attempt at it may take, in microseconds; absent where it has no limit.
    pub time_limit_us: Option<i64>,
}

/// Parts of a device that an attempt has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Which device.
    pub device: Device,
    /// Numbers of the parts.
    pub parts: Vec<u32>,
}

/// What the worker has for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// These parts, one entry a device; the job computes on the first.
    Start(Vec<Booking>),
    /// Not enough now.
    Wait,
    /// Nothing ever.
    Misfit,
}

/// A device that is kept for a job.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    device: Device,
    job: JobId,
    /// When the job will begin at the latest.
    begins_at: i64,
}

/// A worker's turn.
#[derive(Clone, Debug)]
pub struct Round {
    now: i64,
    node: Node,
    reserved: Vec<Reservation>,
}

impl Round {
    /// Of a worker as it is at `now`, in microseconds since the Unix epoch.
    pub fn new(now: i64, node: Node) -> Self {
        Self { now, node, reserved: Vec::new() }
    }

    /// The worker, with what has been started in this round.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether anything is left to be given.
    pub fn has_room(&self) -> bool {
        self.node.seats.iter().any(|seat| seat.in_service && seat.parts.contains(&Part::Free))
    }

    /// The job that a device is kept for.
    pub fn reserved_for(&self, device: Device) -> Option<JobId> {
        self.reserved.iter().find(|it| it.device == device).map(|it| it.job)
    }

    /// What the worker has for a job, while what is reserved is left to others.
    pub fn offer(&self, candidate: &Candidate) -> Offer {
        let demand = &candidate.demand;
        if self.node.misfit(demand).is_some() {
            return Offer::Misfit;
        }
        let mut usable: Vec<(usize, Booking)> =
            self.node.fitting(demand).filter_map(|seat| self.booking(seat, candidate)).collect();
        // A part of a device goes where the least is left, so that whole devices stay whole.
        usable.sort_by_key(|(free, _)| *free);
        usable.truncate(demand.count());
        match usable.len() == demand.count() {
            true => Offer::Start(usable.into_iter().map(|(_, booking)| booking).collect()),
            false => Offer::Wait,
        }
    }

    /// What the job could have of a device, and how many of its parts are free.
    fn booking(&self, seat: &Seat, candidate: &Candidate) -> Option<(usize, Booking)> {
        let mut parts = seat.free_parts();
        let (free, wanted) = (parts.len(), candidate.demand.parts_of(seat));
        if !seat.in_service || free < wanted || !self.may_use(seat.device, candidate) {
            return None;
        }
        parts.truncate(wanted);
        Some((free, Booking { device: seat.device, parts }))
    }

    /// Whether nobody waits for the device, or the job has surely ended by then.
    fn may_use(&self, device: Device, candidate: &Candidate) -> bool {
        let Some(kept) = self.reserved.iter().find(|it| it.device == device) else { return true };
        let ends_at = candidate.time_limit_us.map(|limit| self.now.saturating_add(limit));
        kept.begins_at != NOBODY_KNOWS && ends_at.is_some_and(|end| end <= kept.begins_at)
    }

    /// Whether a job that must wait is to be reserved for, once it has waited for long: it asks for more than one thing at once. What a
    /// single free device is enough for has the next one anyway.
    pub fn must_gather(&self, candidate: &Candidate) -> bool {
        let waited = self.now.saturating_sub(candidate.queued_at);
        let demand = &candidate.demand;
        waited >= PATIENCE_US && (demand.count() > 1 || self.node.fitting(demand).any(|seat| demand.parts_of(seat) > 1))
    }

    /// Keeps for a waiting job what it needs, if this worker is where it can begin soonest; `others` are the other workers.
    pub fn reserve(&mut self, candidate: &Candidate, others: &[Node]) {
        let demand = &candidate.demand;
        let Some(here) = self.node.soonest(demand, self.now) else { return };
        let order = |node: &Node, devices: &[(i64, Device)]| {
            let waiting = devices.iter().filter(|(at, _)| *at > self.now).count();
            (begin(devices), waiting, node.worker)
        };
        let ours = order(&self.node, &here);
        let is_sooner = |other: &Node| other.soonest(demand, self.now).is_some_and(|there| order(other, &there) < ours);
        if others.iter().any(is_sooner) {
            return;
        }
        let begins_at = begin(&here);
        let kept = here.into_iter().map(|(_, device)| Reservation { device, job: candidate.job, begins_at });
        let fresh: Vec<_> = kept.filter(|it| self.reserved_for(it.device).is_none()).collect();
        self.reserved.extend(fresh);
    }

    /// Takes what was offered to a job.
    pub fn start(&mut self, candidate: &Candidate, bookings: &[Booking]) {
        let end = candidate.time_limit_us.map(|limit| self.now.saturating_add(limit));
        for Booking { device, parts } in bookings {
            let seat = self.node.seats.iter_mut().find(|seat| seat.device == *device);
            let seat = seat.expect("only this worker's devices are offered");
            parts.iter().for_each(|part| seat.parts[*part as usize] = Part::Busy(end));
        }
    }
}

/// When all of them are free.
fn begin(devices: &[(i64, Device)]) -> i64 {
    devices.iter().map(|(at, _)| *at).max().unwrap_or(NOBODY_KNOWS)
}
