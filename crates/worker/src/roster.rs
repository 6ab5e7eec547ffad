//! The attempts that this worker has, and what it was told to do with them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rrm_spec::{AttemptId, Device, HeldAttempt, Instruction, Progress};
use tokio::sync::watch;

/// What is to become of a trainer. Orders only grow stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// It goes on.
    Continue,
    /// It is asked to stop, and killed where it does not in time.
    Stop,
    /// It is killed; what it recorded is reported.
    Kill,
    /// It is killed, and nothing is reported: the attempt is another's.
    Abandon,
}

/// An attempt's end of the roster.
pub(crate) struct Place {
    pub(crate) attempt: AttemptId,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) progress: watch::Sender<Option<Progress>>,
    roster: Roster,
}

impl Place {
    /// Gives the attempt up by this worker's own insight.
    pub(crate) fn abandon(&self) {
        self.roster.order(self.attempt, Order::Abandon);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.attempt);
    }
}

struct Entry {
    device: Device,
    orders: watch::Sender<Order>,
    progress: watch::Receiver<Option<Progress>>,
}

/// All attempts, each on a device of its own.
#[derive(Clone, Default)]
pub(crate) struct Roster {
    entries: Arc<Mutex<HashMap<AttemptId, Entry>>>,
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Entry>> {
        // Entries are whole between any two statements, so a panic elsewhere does no harm here.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an attempt in; `None` where it is here already or its device is not free.
    pub(crate) fn enter(&self, attempt: AttemptId, device: Device) -> Option<Place> {
        let mut entries = self.lock();
        if entries.iter().any(|(held, entry)| *held == attempt || entry.device == device) {
            return None;
        }
        let (order_sender, orders) = watch::channel(Order::Continue);
        let (progress, progress_receiver) = watch::channel(None);
        entries.insert(attempt, Entry { device, orders: order_sender, progress: progress_receiver });
        Some(Place { attempt, orders, progress, roster: self.clone() })
    }

    /// What a heartbeat tells.
    pub(crate) fn held(&self) -> Vec<HeldAttempt> {
        let entries = self.lock();
        let held = |(attempt, entry): (&AttemptId, &Entry)| HeldAttempt {
            attempt: *attempt,
            progress: entry.progress.borrow().clone(),
        };
        entries.iter().map(held).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Those of `devices` that run nothing.
    pub(crate) fn free(&self, devices: &[Device]) -> Vec<Device> {
        let entries = self.lock();
        devices.iter().copied().filter(|device| entries.values().all(|entry| entry.device != *device)).collect()
    }

    /// What a heartbeat's answer says.
    pub(crate) fn instruct(&self, attempt: AttemptId, instruction: Instruction) {
        match instruction {
            Instruction::Continue => {}
            Instruction::Stop => self.order(attempt, Order::Stop),
            Instruction::Abandon => self.order(attempt, Order::Abandon),
        }
    }

    pub(crate) fn order_all(&self, order: Order) {
        let entries = self.lock();
        entries.values().for_each(|entry| tighten(&entry.orders, order));
    }

    fn order(&self, attempt: AttemptId, order: Order) {
        if let Some(entry) = self.lock().get(&attempt) {
            tighten(&entry.orders, order);
        }
    }
}

fn tighten(orders: &watch::Sender<Order>, order: Order) {
    orders.send_if_modified(|present| {
        let tighter = order > *present;
        *present = order.max(*present);
        tighter
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_attempt_and_is_free_after_it() {
        let roster = Roster::default();
        let devices = [Device::Cpu, Device::Cuda(0)];
        let place = roster.enter(AttemptId(1), Device::Cpu).unwrap();
        assert!(roster.enter(AttemptId(2), Device::Cpu).is_none());
        assert!(roster.enter(AttemptId(1), Device::Cuda(0)).is_none());
        assert_eq!(roster.free(&devices), [Device::Cuda(0)]);
        drop(place);
        assert_eq!(roster.free(&devices), devices);
    }

    #[test]
    fn orders_only_grow_stricter() {
        let roster = Roster::default();
        let place = roster.enter(AttemptId(1), Device::Cpu).unwrap();
        roster.instruct(AttemptId(1), Instruction::Abandon);
        roster.order_all(Order::Stop);
        roster.instruct(AttemptId(1), Instruction::Continue);
        assert_eq!(*place.orders.borrow(), Order::Abandon);
    }

    #[test]
    fn a_heartbeat_tells_progress() {
        let roster = Roster::default();
        let place = roster.enter(AttemptId(1), Device::Cpu).unwrap();
        let progress = Progress { phase: "epoch 1/2".into(), done: 1, total: 2, images_per_second: 3.0 };
        place.progress.send_replace(Some(progress.clone()));
        assert_eq!(roster.held(), [HeldAttempt { attempt: AttemptId(1), progress: Some(progress) }]);
    }
}
