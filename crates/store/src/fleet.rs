//! Workers and their devices as the queue sees them.

use std::collections::HashMap;

use rrm_spec::{Demand, Device, Node, Part, Seat, WorkerId};
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

/// Of these requests those that no worker could ever meet, of all that are online and, of each other machine, the last one that was.
pub(crate) fn unmet<'d>(connection: &Connection, demands: &'d [Demand]) -> Result<Vec<&'d Demand>, StoreError> {
    let seats: Vec<SeatRow> = sql::query_as(
        "select worker.worker_id, labels, worker_device.device, memory_mib, share, null \
         from worker join worker_device using (worker_id) \
         where online = 1 or worker.worker_id in ( \
             select max(worker_id) from worker group by node having max(online) = 0) \
         order by worker.worker_id",
    )
    .fetch_all(connection)?;
    let fleet = nodes(seats, Vec::new())?;
    Ok(demands.iter().filter(|demand| fleet.iter().all(|node| node.misfit(demand).is_some())).collect())
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
