//! Why a job does not run.

use rrm_spec::{
    Ahead, AheadGroup, AheadReason, Demand, Device, DeviceMisfit, DeviceStanding, Explanation, JobId, JobState, Node,
    NodeMisfit, ParentView, Part, Round, Seat, Standing, UserName, WorkerId, WorkerStanding,
};
use rusqlite::{Connection, Row};

use crate::queue::Queue;
use crate::sql::FromRow;
use crate::usage::{self, Shares};
use crate::{Store, StoreError, demand, drain, fleet, names, sql};

/// Jobs that come before another are counted up to here.
const COUNTED: u64 = 10_000;

/// Workers are asked for what they would start first only while there are so few of them; beyond, nobody reads the answer.
const ASKED: usize = 32;

/// A job as far as it is explained.
struct Asked {
    name: String,
    owner: String,
    state: String,
    since: i64,
    reason: Option<String>,
    priority: i32,
    not_before: Option<i64>,
    held: bool,
    demand_id: i64,
    device: String,
    resources: String,
}

impl FromRow for Asked {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.get("name")?,
            owner: row.get("owner")?,
            state: row.get("state")?,
            since: row.get("since")?,
            reason: row.get("reason")?,
            priority: row.get("priority")?,
            not_before: row.get("not_before")?,
            held: row.get("held")?,
            demand_id: row.get("demand_id")?,
            device: row.get("device")?,
            resources: row.get("resources")?,
        })
    }
}

impl Store {
    /// All that keeps a job from running at `now`, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such job.
    pub async fn explain(&self, id: JobId, now: i64) -> Result<Explanation, StoreError> {
        // One transaction, so that all of it is of the same moment.
        self.readers
            .at_one_moment(move |reader| {
                let asked = asked(reader, id)?;
                let (_, demand) = demand::read((asked.demand_id, asked.device, asked.resources))?;
                let (state, owner) = (names::state(&asked.state)?, usage::name(asked.owner)?);
                let is_queued = state == JobState::Queued;
                let ahead = match is_queued {
                    true => Some(ahead(reader, now, id, &owner, asked.priority)?),
                    false => None,
                };
                let workers = match state {
                    JobState::Waiting | JobState::Queued => workers(reader, now, id, &demand)?,
                    JobState::Running
                    | JobState::Succeeded
                    | JobState::Failed
                    | JobState::Cancelled
                    | JobState::Skipped => Vec::new(),
                };
                Ok(Explanation {
                    job: id,
                    name: asked.name,
                    owner,
                    state,
                    since: asked.since,
                    reason: asked.reason,
                    priority: asked.priority,
                    device: demand.device,
                    resources: demand.resources,
                    parents: open_parents(reader, id)?,
                    not_before: asked.not_before.filter(|until| is_queued && *until > now),
                    held: asked.held,
                    drained: drain::is_daemon_drained(reader)?,
                    ahead,
                    workers,
                })
            })
            .await
    }

    /// Of these requests those that no worker could ever meet, of all that are online and, of each other machine, the last one that was.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn unmet(&self, demands: &[Demand]) -> Result<Vec<Demand>, StoreError> {
        let demands = demands.to_vec();
        self.readers
            .at_one_moment(move |reader| Ok(fleet::unmet(reader, &demands)?.into_iter().cloned().collect()))
            .await
    }

    /// Of these requests those that no worker that is online could ever meet.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn unmet_now(&self, demands: &[Demand]) -> Result<Vec<Demand>, StoreError> {
        let demands = demands.to_vec();
        self.readers
            .run(move |reader| {
                let online = fleet::online(reader)?;
                let is_unmet = |demand: &&Demand| online.iter().all(|node| node.misfit(demand).is_some());
                Ok(demands.iter().filter(is_unmet).cloned().collect())
            })
            .await
    }
}

fn asked(connection: &Connection, id: JobId) -> Result<Asked, StoreError> {
    let found: Option<Asked> = sql::query_as(
        "select job.name, job.owner, job.state, job.reason, job.priority, job.not_before, job.held, \
             coalesce(job.ended_at, attempt.started_at, job.queued_at, job.created_at) as since, \
             demand.demand_id, demand.device, demand.resources \
         from job join demand using (demand_id) left join attempt on attempt.attempt_id = job.attempt_id \
         where job.job_id = ?",
    )
    .bind(id.0)
    .fetch_optional(connection)?;
    found.ok_or_else(|| StoreError::not_found(format!("job {id}")))
}

fn open_parents(connection: &Connection, id: JobId) -> Result<Vec<ParentView>, StoreError> {
    let found: Vec<(i64, String, String)> = sql::query_as(
        "select job.job_id, job.name, job.state from dependency join job on job.job_id = dependency.parent_id \
         where dependency.job_id = ? and job.state <> 'succeeded' order by 1",
    )
    .bind(id.0)
    .fetch_all(connection)?;
    found
        .into_iter()
        .map(|(id, name, state)| Ok(ParentView { id: JobId(id), name, state: names::state(&state)? }))
        .collect()
}

/// Counts along the queue's index, lane by lane, so that it reads no more than it counts.
const OF_HIGHER_PRIORITY: &str = "select owner, count(*) from ( \
        select job.owner from json_each(?1) named cross join job indexed by job_claim \
        where job.state = 'queued' and job.held = 0 and job.demand_id = named.value ->> 0 and job.time_limit_s is named.value ->> 1 and job.priority > ?2 limit ?3) \
    group by owner order by 2 desc, 1";

const OF_THIS_PRIORITY: &str = "select owner, count(*) from ( \
        select job.owner from json_each(?1) named cross join job indexed by job_claim \
        where job.state = 'queued' and job.held = 0 and job.demand_id = named.value ->> 0 and job.time_limit_s is named.value ->> 1 and job.priority = ?2 \
            and ((job.owner = ?4 and job.job_id < ?5) \
                or (?6 and job.owner <> ?4 and job.owner not in (select value from json_each(?7)))) \
        limit ?3) \
    group by owner order by 2 desc, 1";

/// The queued jobs that come before a job, whatever they ask for.
fn ahead(connection: &Connection, now: i64, id: JobId, owner: &UserName, priority: i32) -> Result<Ahead, StoreError> {
    let lanes: Vec<_> = demand::lanes(connection)?.iter().map(|lane| (lane.demand_id, lane.time_limit_s)).collect();
    let lanes = serde_json::to_string(&lanes)?;
    let most = COUNTED as i64 + 1; // Ten thousand.
    let higher: Vec<(String, i64)> =
        sql::query_as(OF_HIGHER_PRIORITY).bind(&lanes).bind(priority).bind(most).fetch_all(connection)?;
    // Who has used as much comes first with the older job; that is not worth another count.
    let shares = Shares::of(connection, now)?;
    let equal: Vec<(String, i64)> = sql::query_as(OF_THIS_PRIORITY)
        .bind(&lanes)
        .bind(priority)
        .bind(most)
        .bind(owner.as_str())
        .bind(id.0)
        .bind(shares.of_owner(owner) > 0.0) // Otherwise nobody has used less.
        .bind(serde_json::to_string(&shares.others_with_as_much(owner))?)
        .fetch_all(connection)?;
    let mut groups = Vec::new();
    for (other, jobs) in higher {
        groups.push(AheadGroup {
            owner: usage::name(other)?,
            why: AheadReason::Priority,
            jobs: names::unsigned(jobs)?,
        });
    }
    for (other, jobs) in equal {
        let other = usage::name(other)?;
        let why = if other == *owner { AheadReason::Age } else { AheadReason::Usage };
        groups.push(AheadGroup { owner: other, why, jobs: names::unsigned(jobs)? });
    }
    let jobs: u64 = groups.iter().map(|group| group.jobs).sum();
    Ok(Ahead { jobs: jobs.min(COUNTED), is_more: jobs > COUNTED, groups })
}

/// What each worker that is online has for a job.
fn workers(connection: &Connection, now: i64, id: JobId, demand: &Demand) -> Result<Vec<WorkerStanding>, StoreError> {
    let mut standings = Vec::new();
    for (count, node) in fleet::online(connection)?.into_iter().enumerate() {
        let kept = match count < ASKED && node.misfit(demand).is_none() {
            true => kept(connection, now, id, &node)?,
            false => Vec::new(),
        };
        standings.push(worker(connection, now, node, demand, &kept)?);
    }
    Ok(standings)
}

/// The devices of a worker that go to others first, were it asked now: to jobs that come before, or that they are reserved for.
fn kept(connection: &Connection, now: i64, id: JobId, node: &Node) -> Result<Vec<(Device, JobId)>, StoreError> {
    let mut round = Round::new(now, node.clone());
    let mut queue = Queue::open(connection, now, &round)?;
    let mut kept = Vec::new();
    while let Some((job, bookings)) = queue.next(connection, &mut round)? {
        if job == id {
            break;
        }
        kept.extend(bookings.iter().map(|booking| (booking.device, job)));
    }
    let reserved = node.seats.iter().filter_map(|seat| Some((seat.device, round.reserved_for(seat.device)?)));
    kept.extend(reserved.filter(|(_, job)| *job != id));
    Ok(kept)
}

fn worker(
    connection: &Connection,
    now: i64,
    node: Node,
    demand: &Demand,
    kept: &[(Device, JobId)],
) -> Result<WorkerStanding, StoreError> {
    let wanted = demand.resources.devices.count();
    let (lacks_labels, fitting) = match node.misfit(demand) {
        Some(NodeMisfit::Labels(labels)) => (labels, 0),
        Some(NodeMisfit::TooFewDevices { fitting, .. }) => (Vec::new(), fitting),
        None => (Vec::new(), wanted),
    };
    let mut devices = Vec::new();
    for seat in &node.seats {
        let kept = kept.iter().find(|(device, _)| *device == seat.device).map(|(_, job)| *job);
        let standing = standing(connection, now, node.worker, seat, demand, kept)?;
        devices.push(DeviceStanding { device: seat.device.to_string(), standing });
    }
    let name = sql::query_scalar("select node from worker where worker_id = ?").bind(node.worker.0);
    let name = name.fetch_one(connection)?;
    let drained = drain::is_worker_drained(connection, node.worker)?;
    Ok(WorkerStanding { worker: node.worker, node: name, lacks_labels, fitting, wanted, drained, devices })
}

fn standing(
    connection: &Connection,
    now: i64,
    worker: WorkerId,
    seat: &Seat,
    demand: &Demand,
    kept: Option<JobId>,
) -> Result<Standing, StoreError> {
    match demand.device_misfit(seat.device, seat.memory_mib) {
        Some(DeviceMisfit::Kind) => return Ok(Standing::OtherKind),
        Some(DeviceMisfit::Memory { has_mib, needs_mib }) => return Ok(Standing::TooSmall { has_mib, needs_mib }),
        None => {}
    }
    if !seat.in_service {
        return out_of_service(connection, worker, seat.device);
    }
    let free = seat.parts.iter().filter(|part| **part == Part::Free).count();
    let enough = demand.resources.devices.parts_of(seat.parts.len() as u32) as usize; // A share is a small number.
    match kept {
        _ if free < enough => busy(connection, now, worker, seat.device),
        Some(job) => Ok(Standing::Reserved { job }),
        None => Ok(Standing::Free),
    }
}

fn out_of_service(connection: &Connection, worker: WorkerId, device: Device) -> Result<Standing, StoreError> {
    let (since, reason) = sql::query_as(
        "select out_since, reason from device_service join worker using (node) where worker_id = ? and device = ?",
    )
    .bind(worker.0)
    .bind(device.to_string())
    .fetch_one(connection)?;
    Ok(Standing::OutOfService { since, reason })
}

/// The oldest attempt on the device. Its job's end is expected after as long for each epoch that is left as its epochs took so far.
fn busy(connection: &Connection, now: i64, worker: WorkerId, device: Device) -> Result<Standing, StoreError> {
    let (job, name, since, left_us): (i64, String, i64, Option<f64>) = sql::query_as(
        "select job.job_id, job.name, attempt.started_at, \
             (select avg(e.train_s + coalesce(e.validation_s, 0)) * max(job.epochs_total - count(*), 0) * 1e6 \
              from epoch_current e where e.job_id = job.job_id) \
         from attempt_device booked indexed by attempt_device_open \
         join attempt using (attempt_id) join job using (job_id) \
         where booked.open = 1 and booked.worker_id = ? and booked.device = ? order by attempt.attempt_id limit 1",
    )
    .bind(worker.0)
    .bind(device.to_string())
    .fetch_one(connection)?;
    let expected_end = left_us.map(|left| now.saturating_add(left as i64)); // Saturates, and is a guess anyway.
    Ok(Standing::Busy { job: JobId(job), name, since, expected_end })
}
