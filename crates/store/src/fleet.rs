//! Workers and their devices as the queue sees them.

use std::{collections::HashMap, fmt};

use rrm_spec::{Demand, Device, DeviceMisfit, Label, Node, NodeMisfit, Part, Seat, WorkerId};
use rusqlite::Connection;

use crate::{StoreError, names, sql};

/// A worker's device: worker, labels, device, memory, parts, and since when it is out of service.
type SeatRow = (i64, String, String, Option<i64>, u32, Option<i64>);

/// The device of a busy part: worker, device and number; and when its attempt has ended at the latest, where it has a time limit.
type BusyRow = (i64, String, u32, Option<i64>);

/// The limit runs from the trainer's start on, a little after the attempt's: no later than this, but for its grace.
macro_rules! busy {
    ($of:literal) => {
        concat!(
            "select taken.worker_id, taken.device, taken.part, attempt.started_at + 1000000 * job.time_limit_s \
             from attempt_device taken indexed by attempt_device_open \
             join attempt using (attempt_id) join job using (job_id) where taken.open = 1",
            $of
        )
    };
}

const SEATS_OF_ONE: &str = "select worker.worker_id, labels, worker_device.device, memory_mib, share, out_since \
    from worker join worker_device using (worker_id) \
    left join device_service on device_service.node = worker.node and device_service.device = worker_device.device \
    where online = 1 and worker.worker_id = ? order by worker.worker_id";

const SEATS_OF_ALL: &str = "select worker.worker_id, labels, worker_device.device, memory_mib, share, out_since \
    from worker join worker_device using (worker_id) \
    left join device_service on device_service.node = worker.node and device_service.device = worker_device.device \
    where online = 1 order by worker.worker_id";

/// One worker that is online; none where it is not.
pub(crate) fn one(connection: &Connection, worker: WorkerId) -> Result<Option<Node>, StoreError> {
    let seats: Vec<SeatRow> = sql::query_as(SEATS_OF_ONE).bind(worker.0).fetch_all(connection)?;
    let busy: Vec<BusyRow> = sql::query_as(busy!(" and taken.worker_id = ?")).bind(worker.0).fetch_all(connection)?;
    Ok(nodes(seats, busy)?.pop())
}

/// All workers that are online, in the order of their ids.
pub(crate) fn online(connection: &Connection) -> Result<Vec<Node>, StoreError> {
    let seats: Vec<SeatRow> = sql::query_as(SEATS_OF_ALL).fetch_all(connection)?;
    let busy: Vec<BusyRow> = sql::query_as(busy!("")).fetch_all(connection)?;
    nodes(seats, busy)
}

fn nodes(seats: Vec<SeatRow>, busy: Vec<BusyRow>) -> Result<Vec<Node>, StoreError> {
    let mut taken: HashMap<(i64, String), HashMap<u32, Option<i64>>> = HashMap::new();
    for (worker, device, part, end) in busy {
        taken.entry((worker, device)).or_default().insert(part, end);
    }
    let mut nodes: Vec<Node> = Vec::new();
    for (worker, labels, device, memory_mib, share, out_since) in seats {
        let taken = taken.remove(&(worker, device.clone())).unwrap_or_default();
        let seat = Seat {
            device: names::device(&device)?,
            memory_mib: memory_mib.map(names::unsigned).transpose()?,
            in_service: out_since.is_none(),
            parts: (0..share).map(|part| taken.get(&part).map_or(Part::Free, |end| Part::Busy(*end))).collect(),
        };
        match nodes.last_mut() {
            Some(node) if node.worker == WorkerId(worker) => node.seats.push(seat),
            Some(_) | None => {
                let labels = serde_json::from_str(&labels)?;
                nodes.push(Node { worker: WorkerId(worker), labels, seats: vec![seat] });
            }
        }
    }
    nodes.iter_mut().for_each(|node| node.seats.sort_by_key(|seat| seat.device));
    Ok(nodes)
}

/// All workers that are online and, of each other machine, the last one that was; as if nothing ran on them.
pub(crate) fn registered(connection: &Connection) -> Result<Vec<Node>, StoreError> {
    let seats: Vec<SeatRow> = sql::query_as(
        "select worker.worker_id, labels, worker_device.device, memory_mib, share, null \
         from worker join worker_device using (worker_id) \
         where online = 1 or worker.worker_id in ( \
             select max(worker_id) from worker group by node having max(online) = 0) \
         order by worker.worker_id",
    )
    .fetch_all(connection)?;
    nodes(seats, Vec::new())
}

/// Of these requests those that no registered worker could ever meet.
pub(crate) fn unmet<'d>(connection: &Connection, demands: &'d [Demand]) -> Result<Vec<&'d Demand>, StoreError> {
    let fleet = registered(connection)?;
    Ok(demands.iter().filter(|demand| lack(&fleet, demand).is_some()).collect())
}

/// What the workers lack for a request that none of them could ever meet; of several things the first one here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// There are none.
    Workers,
    /// None has all labels. These are what is missing where fewest are.
    Labels(Vec<Label>),
    /// Of those with the labels none has as many devices of the kind.
    Devices {
        /// The most that one has.
        most: usize,
    },
    /// None has as many of them with so much memory.
    Memory {
        /// The most that one has.
        most: u32,
        /// The largest device of the kind, in MiB, where that is known.
        largest_mib: Option<u64>,
    },
}

/// In words that go on with `but`.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workers => f.write_str("no worker is registered"),
            Self::Labels(labels) => {
                let labels: Vec<&str> = labels.iter().map(Label::as_str).collect();
                write!(f, "the closest worker is not labelled {}", labels.join(", "))
            }
            Self::Devices { most: 0 } => f.write_str("no such worker has one"),
            Self::Devices { most } => write!(f, "one such worker has at most {most} of them"),
            Self::Memory { most: 0, largest_mib: Some(mib) } => write!(f, "the largest one has {mib} MiB"),
            Self::Memory { most: 0, largest_mib: None } => f.write_str("nobody knows how much memory there is"),
            Self::Memory { most, .. } => write!(f, "one such worker has at most {most} of them with so much memory"),
        }
    }
}

/// What these workers lack for a request; none where one of them could meet it.
pub(crate) fn lack(fleet: &[Node], demand: &Demand) -> Option<Lack> {
    let misfits: Vec<NodeMisfit> = fleet.iter().map(|node| node.misfit(demand)).collect::<Option<_>>()?;
    if fleet.is_empty() {
        return Some(Lack::Workers);
    }
    let (mut labelled, mut fitting) = (Vec::new(), 0);
    let mut fewest: Option<Vec<Label>> = None;
    for (node, misfit) in fleet.iter().zip(misfits) {
        match misfit {
            NodeMisfit::TooFewDevices { fitting: some, .. } => {
                labelled.push(node);
                fitting = some.max(fitting);
            }
            NodeMisfit::Labels(labels) => fewest = [fewest, Some(labels)].into_iter().flatten().min_by_key(Vec::len),
        }
    }
    match fewest {
        Some(labels) if labelled.is_empty() => Some(Lack::Labels(labels)),
        _ => Some(lack_of_devices(&labelled, demand, fitting)),
    }
}

fn lack_of_devices(labelled: &[&Node], demand: &Demand, fitting: u32) -> Lack {
    let of_kind = |node: &Node| {
        let is_of_kind = |seat: &&Seat| demand.device_misfit(seat.device, seat.memory_mib) != Some(DeviceMisfit::Kind);
        node.seats.iter().filter(is_of_kind).map(|seat| seat.memory_mib).collect::<Vec<_>>()
    };
    let kinds: Vec<Vec<Option<u64>>> = labelled.iter().map(|node| of_kind(node)).collect();
    let most = kinds.iter().map(Vec::len).max().unwrap_or_default();
    let wanted = demand.resources.devices.count() as usize; // At most 64.
    match most < wanted {
        true => Lack::Devices { most },
        false => Lack::Memory { most: fitting, largest_mib: kinds.into_iter().flatten().flatten().max() },
    }
}

/// The worker with only these devices free, which come first in this order: a worker knows best what is free.
pub(crate) fn restricted(mut node: Node, free: &[Device]) -> Node {
    for seat in node.seats.iter_mut().filter(|seat| !free.contains(&seat.device)) {
        seat.parts.iter_mut().filter(|part| **part == Part::Free).for_each(|part| *part = Part::Busy(None));
    }
    let place = |device: Device| free.iter().position(|it| *it == device).unwrap_or(free.len());
    node.seats.sort_by_key(|seat| place(seat.device));
    node
}

#[cfg(test)]
mod tests {
    use rrm_spec::{DeviceRequest, ResourceRequest};

    use super::*;

    fn worker(labels: &[&str], memory_mib: &[Option<u64>]) -> Node {
        let seat = |(number, memory_mib): (u32, &Option<u64>)| Seat {
            device: Device::Cuda(number),
            memory_mib: *memory_mib,
            in_service: true,
            parts: vec![Part::Free],
        };
        Node {
            worker: WorkerId(1),
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
            seats: (0..).zip(memory_mib).map(seat).collect(),
        }
    }

    fn asking(devices: f64, memory_gib: Option<u32>, labels: &[&str]) -> Demand {
        let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
        let resources = ResourceRequest { devices: devices.try_into().unwrap(), memory_gib, labels };
        Demand { device: DeviceRequest::Cuda, resources }
    }

    #[test]
    fn what_is_missing_is_told_as_it_is_where_least_is_missing() {
        let fleet = [
            worker(&[], &[Some(81_920); 4]),
            worker(&["a100"], &[Some(40_960), Some(8_192)]),
            worker(&["unknown"], &[None]),
            worker(&["idle"], &[]),
        ];
        let told = |demand: &Demand| lack(&fleet, demand).map(|it| it.to_string());
        let tells = |demand: Demand, text: &str| assert_eq!(told(&demand).as_deref(), Some(text), "{demand}");
        assert_eq!(told(&asking(2.0, Some(80), &[])), None);
        tells(asking(1.0, None, &["a100", "nvlink"]), "the closest worker is not labelled nvlink");
        tells(asking(8.0, None, &[]), "one such worker has at most 4 of them");
        tells(asking(1.0, None, &["idle"]), "no such worker has one");
        tells(asking(1.0, Some(60), &["a100"]), "the largest one has 40960 MiB");
        tells(asking(2.0, Some(30), &["a100"]), "one such worker has at most 1 of them with so much memory");
        tells(asking(1.0, Some(1), &["unknown"]), "nobody knows how much memory there is");
        assert_eq!(lack(&[], &asking(1.0, None, &[])), Some(Lack::Workers));
    }
}
