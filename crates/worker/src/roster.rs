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
    /// That on which it computes first.
    devices: Vec<Device>,
    /// Of each of these devices.
    parts: u32,
    orders: watch::Sender<Order>,
    progress: watch::Receiver<Option<Progress>>,
}

/// All attempts, each on devices, or parts of one, of its own.
#[derive(Clone)]
pub(crate) struct Roster {
    /// Into so many parts every device is divided.
    share: u32,
    entries: Arc<Mutex<HashMap<AttemptId, Entry>>>,
}

impl Roster {
    /// Of devices that so many jobs may share.
    pub(crate) fn new(share: u32) -> Self {
        Self { share, entries: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Entry>> {
        // Entries are whole between any two statements, so a panic elsewhere does no harm here.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an attempt in; `None` where it is here already or too little of its devices is free.
    pub(crate) fn enter(&self, attempt: AttemptId, devices: &[Device], parts: u32) -> Option<Place> {
        let mut entries = self.lock();
        let has_room = |device: &Device| taken(&entries, *device).saturating_add(parts) <= self.share;
        if entries.contains_key(&attempt) || !devices.iter().all(has_room) {
            return None;
        }
        let (order_sender, orders) = watch::channel(Order::Continue);
        let (progress, progress_receiver) = watch::channel(None);
        let devices = devices.to_vec();
        entries.insert(attempt, Entry { devices, parts, orders: order_sender, progress: progress_receiver });
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

    /// Those of `devices` of which a part runs nothing.
    pub(crate) fn free(&self, devices: &[Device]) -> Vec<Device> {
        let entries = self.lock();
        devices.iter().copied().filter(|device| taken(&entries, *device) < self.share).collect()
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

/// How many parts of a device are in use.
fn taken(entries: &HashMap<AttemptId, Entry>, device: Device) -> u32 {
    entries.values().filter(|entry| entry.devices.contains(&device)).map(|entry| entry.parts).sum()
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
        let roster = Roster::new(1);
        let devices = [Device::Cpu, Device::Cuda(0)];
        let place = roster.enter(AttemptId(1), &[Device::Cpu], 1).unwrap();
        assert!(roster.enter(AttemptId(2), &[Device::Cpu], 1).is_none());
        assert!(roster.enter(AttemptId(1), &[Device::Cuda(0)], 1).is_none());
        assert_eq!(roster.free(&devices), [Device::Cuda(0)]);
        drop(place);
        assert_eq!(roster.free(&devices), devices);
    }

    #[test]
    fn an_attempt_on_several_devices_has_all_of_them_or_none() {
        let roster = Roster::new(1);
        let devices = [Device::Cuda(0), Device::Cuda(1), Device::Cuda(2)];
        let place = roster.enter(AttemptId(1), &devices[..2], 1).unwrap();
        assert!(roster.enter(AttemptId(2), &devices[1..], 1).is_none());
        assert_eq!(roster.free(&devices), [Device::Cuda(2)]);
        drop(place);
        assert_eq!(roster.free(&devices), devices);
    }

    #[test]
    fn a_shared_device_is_free_until_all_its_parts_are_taken() {
        let roster = Roster::new(2);
        let cpu = [Device::Cpu];
        let _half = roster.enter(AttemptId(1), &cpu, 1).unwrap();
        assert!(roster.enter(AttemptId(2), &cpu, 2).is_none(), "a whole device is wanted");
        assert_eq!(roster.free(&cpu), cpu);
        let _other = roster.enter(AttemptId(2), &cpu, 1).unwrap();
        assert_eq!(roster.free(&cpu), []);
    }

    #[test]
    fn orders_only_grow_stricter() {
        let roster = Roster::new(1);
        let place = roster.enter(AttemptId(1), &[Device::Cpu], 1).unwrap();
        roster.instruct(AttemptId(1), Instruction::Abandon);
        roster.order_all(Order::Stop);
        roster.instruct(AttemptId(1), Instruction::Continue);
        assert_eq!(*place.orders.borrow(), Order::Abandon);
    }

    #[test]
    fn a_heartbeat_tells_progress() {
        let roster = Roster::new(1);
        let place = roster.enter(AttemptId(1), &[Device::Cpu], 1).unwrap();
        let progress = Progress { phase: "epoch 1/2".into(), done: 1, total: 2, images_per_second: 3.0 };
        place.progress.send_replace(Some(progress.clone()));
        assert_eq!(roster.held(), [HeldAttempt { attempt: AttemptId(1), progress: Some(progress) }]);
    }
}
