//! A worker's devices, and whether a job fits them.

use std::fmt;

use crate::{Device, DeviceRequest, DeviceShare, Label, ResourceRequest, WorkerId};

/// What a job needs of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Which kind of devices.
    pub device: DeviceRequest,
    /// How many, how large, and where.
    pub resources: ResourceRequest,
}

/// A worker as the queue sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub worker: WorkerId,
    /// What it is called by.
    pub labels: Vec<Label>,
    /// Its devices.
    pub seats: Vec<Seat>,
}

/// A device as the queue sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which.
    pub device: Device,
    /// Its memory, in MiB; absent where the worker does not know it.
    pub memory_mib: Option<u64>,
    /// Whether it may be given jobs.
    pub in_service: bool,
    /// The parts that jobs may share: one, unless the worker was told otherwise. Never empty.
    pub parts: Vec<Part>,
}

/// What one part of a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Free,
    /// It runs a job that ends by then at the latest, in microseconds since the Unix epoch; absent where nobody knows.
    Busy(Option<i64>),
}

/// Why a device is never the right one for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMisfit {
    /// It is of another kind.
    Kind,
    /// It has less memory than the job asks for, or nobody knows how much.
    Memory {
        /// What it has, in MiB.
        has_mib: Option<u64>,
        /// What the job asks for, in MiB.
        needs_mib: u64,
    },
}

/// Why a worker is never the right one for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeMisfit {
    /// It lacks these labels.
    Labels(Vec<Label>),
    /// Too few of its devices fit.
    TooFewDevices {
        /// So many do.
        fitting: u32,
        /// So many are needed.
        wanted: u32,
    },
}

/// In words, such as `a CUDA device with 10 GiB on a worker labelled a100`.
impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceRequest { devices, memory_gib, labels } = &self.resources;
        let kind = match self.device {
            DeviceRequest::Any => "any device",
            DeviceRequest::Cpu => "a processor",
            DeviceRequest::Cuda => "a CUDA device",
        };
        match devices.count() {
            1 if *devices == DeviceShare::default() => f.write_str(kind)?,
            1 => write!(f, "{devices} of {kind}")?,
            count => write!(f, "{count} times {kind} of one worker")?,
        }
        if let Some(memory) = memory_gib {
            write!(f, " with {memory} GiB")?;
        }
        match labels.as_slice() {
            [] => Ok(()),
            labels => {
                let names: Vec<&str> = labels.iter().map(Label::as_str).collect();
                write!(f, " on a worker labelled {}", names.join(", "))
            }
        }
    }
}

impl Demand {
    /// Why the device is never the right one, whether busy or not.
    pub fn device_misfit(&self, device: Device, memory_mib: Option<u64>) -> Option<DeviceMisfit> {
        if !device.satisfies(self.device) {
            return Some(DeviceMisfit::Kind);
        }
        let needs_mib = u64::from(self.resources.memory_gib?) * 1024;
        let is_enough = memory_mib.is_some_and(|has| has >= needs_mib);
        (!is_enough).then_some(DeviceMisfit::Memory { has_mib: memory_mib, needs_mib })
    }

    /// How many parts of a device divided like this one the job takes.
    pub(super) fn parts_of(&self, seat: &Seat) -> usize {
        self.resources.devices.parts_of(seat.parts.len() as u32) as usize // A share is a small number.
    }

    /// On how many devices the job is.
    pub(super) fn count(&self) -> usize {
        self.resources.devices.count() as usize
    }
}

impl Node {
    /// Why the worker is never the right one for a job, however long it waits. A device that is out of service may come back.
    pub fn misfit(&self, demand: &Demand) -> Option<NodeMisfit> {
        let lacking: Vec<Label> =
            demand.resources.labels.iter().filter(|label| !self.labels.contains(label)).cloned().collect();
        if !lacking.is_empty() {
            return Some(NodeMisfit::Labels(lacking));
        }
        let (fitting, wanted) = (self.fitting(demand).count(), demand.count());
        let too_few = NodeMisfit::TooFewDevices { fitting: fitting as u32, wanted: wanted as u32 };
        (fitting < wanted).then_some(too_few)
    }

    /// The devices that are right for a job, busy or not.
    pub(super) fn fitting(&self, demand: &Demand) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| demand.device_misfit(seat.device, seat.memory_mib).is_none())
    }

    /// The devices on which the job could begin soonest, and when each of them is free for it; as many as it needs, or none.
    pub(super) fn soonest(&self, demand: &Demand, now: i64) -> Option<Vec<(i64, Device)>> {
        if self.misfit(demand).is_some() {
            return None;
        }
        let in_service = self.fitting(demand).filter(|seat| seat.in_service);
        let mut free: Vec<(i64, Device)> =
            in_service.map(|seat| (seat.free_at(demand.parts_of(seat), now), seat.device)).collect();
        free.sort();
        free.truncate(demand.count());
        (free.len() == demand.count()).then_some(free)
    }
}

/// When something is free of which nobody knows it.
pub(super) const NOBODY_KNOWS: i64 = i64::MAX;

impl Seat {
    /// Numbers of the parts that are free.
    pub(super) fn free_parts(&self) -> Vec<u32> {
        (0..).zip(&self.parts).filter(|(_, part)| **part == Part::Free).map(|(number, _)| number).collect()
    }

    /// When so many parts are free at once.
    fn free_at(&self, parts: usize, now: i64) -> i64 {
        let free_at = |part: &Part| match part {
            Part::Free => now,
            Part::Busy(Some(end)) => now.max(*end),
            Part::Busy(None) => NOBODY_KNOWS,
        };
        let mut times: Vec<i64> = self.parts.iter().map(free_at).collect();
        times.sort_unstable();
        times.get(parts.saturating_sub(1)).copied().unwrap_or(NOBODY_KNOWS)
    }
}
