//! Workers as they come and go.

use std::collections::HashMap;

use rrm_spec::{
    AttemptOutcome, Device, DeviceInfo, DeviceView, JobId, OutOfService, Registration, WorkerId, WorkerView,
};
use rusqlite::Connection;
use serde_json::json;

use crate::attempt::AttemptRow;
use crate::event::Of;
use crate::settle::give_up;
use crate::{Store, StoreError, Tx, Write, attempt, event, names, sql};

/// A worker introduces itself. The same process, known by its `boot_id`, keeps its id.
pub struct Register {
    /// What it says of itself.
    pub registration: Registration,
}

impl Write for Register {
    type Output = WorkerId;

    fn apply(self, tx: &mut Tx<'_>) -> Result<WorkerId, StoreError> {
        let id = upsert(tx, &self.registration)?;
        clear_devices(tx, id)?;
        for info in &self.registration.devices {
            insert_device(tx, id, info)?;
        }
        let data = json!({ "node": self.registration.node, "version": self.registration.version });
        event::add(tx, "worker.online", Of::worker(id), data)?;
        Ok(id)
    }
}

/// Workers that are silent for too long, or that say good-bye.
pub struct Depart {
    /// Which.
    pub workers: Vec<WorkerId>,
    /// How.
    pub how: Departure,
}

/// How a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It says so, and has settled what it knew of.
    GoodBye,
    /// It was not heard for too long.
    Silence,
}

impl Departure {
    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Self::GoodBye => "it said good-bye",
            Self::Silence => "it was silent for too long",
        }
    }

    /// How an attempt ends that the worker leaves open.
    ///
    /// A lease may be committed while its worker says good-bye, so that the worker never hears of it: an attempt without a
    /// record blames nobody then. After a silence it may have been the job that killed the worker before its first record.
    fn outcome(self, attempt: &AttemptRow) -> AttemptOutcome {
        match self {
            Self::GoodBye if attempt.last_seq == 0 => AttemptOutcome::Stopped,
            Self::GoodBye | Self::Silence => AttemptOutcome::Lost,
        }
    }
}

impl Write for Depart {
    type Output = ();

    /// What a worker left open when it went ends at once.
    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for id in self.workers {
            if !set_offline(tx, id)? {
                continue;
            }
            event::add(tx, "worker.offline", Of::worker(id), json!({ "why": self.how.why() }))?;
            for open in attempt::open_of(tx, id)? {
                give_up(tx, &open, self.how.outcome(&open), self.how.why())?;
            }
        }
        Ok(())
    }
}

/// The devices that a worker has registered.
///
/// # Errors
/// [`StoreError::NotFound`] for a worker that is unknown or has left: it must register again.
pub(crate) fn devices(tx: &mut Tx<'_>, worker: WorkerId) -> Result<Vec<Device>, StoreError> {
    let found: Vec<String> = sql::query_scalar(
        "select device from worker join worker_device using (worker_id) where worker_id = ? and online = 1",
    )
    .bind(worker.0)
    .fetch_all(tx.connection)?;
    match found.is_empty() {
        true => Err(StoreError::not_found(format!("worker {worker} (it must register again)"))),
        false => found.iter().map(|device| names::device(device)).collect(),
    }
}

fn upsert(tx: &mut Tx<'_>, registration: &Registration) -> Result<WorkerId, StoreError> {
    let id = sql::query_scalar(
        "insert into worker (boot_id, node, version, online, registered_at, last_seen_at, labels, code_version) \
         values (?1, ?2, ?3, 1, ?4, ?4, ?5, ?6) \
         on conflict (boot_id) do update set \
             node = ?2, version = ?3, online = 1, last_seen_at = ?4, labels = ?5, code_version = ?6 \
         returning worker_id",
    )
    .bind(&registration.boot_id)
    .bind(&registration.node)
    .bind(&registration.version)
    .bind(tx.now)
    .bind(serde_json::to_string(&registration.labels)?)
    .bind(Some(&registration.code_version).filter(|code| !code.is_empty()))
    .fetch_one(tx.connection)?;
    Ok(WorkerId(id))
}

fn clear_devices(tx: &mut Tx<'_>, worker: WorkerId) -> Result<(), StoreError> {
    sql::query("delete from worker_device where worker_id = ?").bind(worker.0).execute(tx.connection)?;
    Ok(())
}

fn insert_device(tx: &mut Tx<'_>, worker: WorkerId, info: &DeviceInfo) -> Result<(), StoreError> {
    let memory_mib = info.memory_mib.map(|mib| names::signed(mib, "memory_mib")).transpose()?;
    sql::query(
        "insert or replace into worker_device (worker_id, device, name, memory_mib, share) values (?, ?, ?, ?, ?)",
    )
    .bind(worker.0)
    .bind(info.device.to_string())
    .bind(&info.name)
    .bind(memory_mib)
    .bind(info.share)
    .execute(tx.connection)?;
    Ok(())
}

/// Whether it was online before.
fn set_offline(tx: &mut Tx<'_>, worker: WorkerId) -> Result<bool, StoreError> {
    let updated = sql::query("update worker set online = 0, last_seen_at = ? where worker_id = ? and online = 1")
        .bind(tx.now)
        .bind(worker.0)
        .execute(tx.connection)?;
    Ok(updated.rows_affected == 1)
}

type WorkerRow = (i64, String, String, bool, i64, String);

/// Most workers that have left in one answer. Every restart of a worker leaves a row behind for ever.
const DEPARTED: u32 = 100;

impl Store {
    /// All workers that are online, and of those that have left the newest of each node that has none online, up to a
    /// hundred; those online come first, and among them the newest.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, StoreError> {
        // One transaction, so that workers and devices are of the same moment.
        self.readers
            .at_one_moment(move |reader| {
                let found: Vec<WorkerRow> = sql::query_as(
                    "select worker_id, node, version, online, last_seen_at, labels from worker \
             where online = 1 or worker_id in ( \
                 select max(worker_id) as newest from worker group by node having max(online) = 0 \
                 order by newest desc limit ?) \
             order by online desc, worker_id desc",
                )
                .bind(DEPARTED)
                .fetch_all(reader)?;
                let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
                let mut devices = device_views(reader, &ids)?;
                let view = |(id, node, version, online, last_seen_at, labels): WorkerRow| {
                    let (devices, labels) = (devices.remove(&id).unwrap_or_default(), serde_json::from_str(&labels)?);
                    Ok(WorkerView { id: WorkerId(id), node, version, online, last_seen_at, devices, labels })
                };
                found.into_iter().map(view).collect()
            })
            .await
    }

    /// All workers that are online, and when they came.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn workers_online(&self) -> Result<Vec<(WorkerId, i64)>, StoreError> {
        let found: Vec<(i64, i64)> =
            sql::query_as("select worker_id, last_seen_at from worker where online = 1 order by worker_id")
                .fetch_all(&self.readers)
                .await?;
        Ok(found.into_iter().map(|(id, seen)| (WorkerId(id), seen)).collect())
    }

    /// The devices of the workers that are online, each once.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn devices_online(&self) -> Result<Vec<Device>, StoreError> {
        let found: Vec<String> = sql::query_scalar(
            "select distinct device from worker_device join worker using (worker_id) where online = 1 order by device",
        )
        .fetch_all(&self.readers)
        .await?;
        found.iter().map(|device| names::device(device)).collect()
    }
}

/// Worker, device, its name, memory and parts, and since when and why it is out of service.
type DeviceRow = (i64, String, String, Option<i64>, u32, Option<i64>, Option<String>);

/// The devices of these workers and what runs there, by worker.
fn device_views(connection: &Connection, workers: &[i64]) -> Result<HashMap<i64, Vec<DeviceView>>, StoreError> {
    let workers = serde_json::to_string(workers)?;
    let found: Vec<DeviceRow> = sql::query_as(
        "select worker_device.worker_id, worker_device.device, name, memory_mib, share, out_since, reason \
         from worker_device join worker using (worker_id) left join device_service \
             on device_service.node = worker.node and device_service.device = worker_device.device \
         where worker_device.worker_id in (select value from json_each(?)) order by 1, 2",
    )
    .bind(&workers)
    .fetch_all(connection)?;
    let mut jobs = running_jobs(connection, &workers)?;
    let mut views: HashMap<i64, Vec<DeviceView>> = HashMap::new();
    for (worker, device, name, memory_mib, share, since, reason) in found {
        let mut running = jobs.remove(&(worker, device.clone())).unwrap_or_default().into_iter();
        let (job, more_jobs) = (running.next(), running.collect());
        let memory_mib = memory_mib.map(names::unsigned).transpose()?;
        let out_of_service = since.zip(reason).map(|(since, reason)| OutOfService { since, reason });
        views.entry(worker).or_default().push(DeviceView {
            device,
            job,
            more_jobs,
            name,
            memory_mib,
            share,
            out_of_service,
        });
    }
    Ok(views)
}

/// What runs on each device of these workers, oldest attempts first.
fn running_jobs(connection: &Connection, workers: &str) -> Result<HashMap<(i64, String), Vec<JobId>>, StoreError> {
    let found: Vec<(i64, String, i64)> = sql::query_as(
        "select booked.worker_id, booked.device, attempt.job_id \
         from attempt_device booked indexed by attempt_device_open join attempt using (attempt_id) \
         where booked.open = 1 and booked.worker_id in (select value from json_each(?)) \
         group by attempt.attempt_id, booked.device order by attempt.attempt_id",
    )
    .bind(workers)
    .fetch_all(connection)?;
    let mut jobs: HashMap<(i64, String), Vec<JobId>> = HashMap::new();
    for (worker, device, job) in found {
        jobs.entry((worker, device)).or_default().push(JobId(job));
    }
    Ok(jobs)
}
