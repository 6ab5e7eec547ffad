//! Workers as they come and go.

use std::collections::HashMap;

use rrm_spec::{AttemptOutcome, Device, DeviceView, JobId, Registration, WorkerId, WorkerView};
use serde_json::json;

use crate::attempt::AttemptRow;
use crate::event::Of;
use crate::settle::give_up;
use crate::{Store, StoreError, Tx, Write, attempt, event, names};

/// A worker introduces itself. The same process, known by its `boot_id`, keeps its id.
pub struct Register {
    /// What it says of itself.
    pub registration: Registration,
}

impl Write for Register {
    type Output = WorkerId;

    async fn apply(self, tx: &mut Tx<'_>) -> Result<WorkerId, StoreError> {
        let id = upsert(tx, &self.registration).await?;
        clear_devices(tx, id).await?;
        for info in &self.registration.devices {
            insert_device(tx, id, info.device, &info.name).await?;
        }
        let data = json!({ "node": self.registration.node, "version": self.registration.version });
        event::add(tx, "worker.online", Of::worker(id), data).await?;
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
    async fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for id in self.workers {
            if !set_offline(tx, id).await? {
                continue;
            }
            event::add(tx, "worker.offline", Of::worker(id), json!({ "why": self.how.why() })).await?;
            for open in attempt::open_of(tx, id).await? {
                give_up(tx, &open, self.how.outcome(&open), self.how.why()).await?;
            }
        }
        Ok(())
    }
}

/// The devices that a worker has registered.
///
/// # Errors
/// [`StoreError::NotFound`] for a worker that is unknown or has left: it must register again.
pub(crate) async fn devices(tx: &mut Tx<'_>, worker: WorkerId) -> Result<Vec<Device>, StoreError> {
    let found: Vec<String> = sqlx::query_scalar(
        "select device from worker join worker_device using (worker_id) where worker_id = ? and online = 1",
    )
    .bind(worker.0)
    .fetch_all(&mut *tx.connection)
    .await?;
    match found.is_empty() {
        true => Err(StoreError::not_found(format!("worker {worker} (it must register again)"))),
        false => found.iter().map(|device| names::device(device)).collect(),
    }
}

async fn upsert(tx: &mut Tx<'_>, registration: &Registration) -> Result<WorkerId, StoreError> {
    let id = sqlx::query_scalar(
        "insert into worker (boot_id, node, version, online, registered_at, last_seen_at) \
         values (?1, ?2, ?3, 1, ?4, ?4) \
         on conflict (boot_id) do update set node = ?2, version = ?3, online = 1, last_seen_at = ?4 \
         returning worker_id",
    )
    .bind(&registration.boot_id)
    .bind(&registration.node)
    .bind(&registration.version)
    .bind(tx.now)
    .fetch_one(&mut *tx.connection)
    .await?;
    Ok(WorkerId(id))
}

async fn clear_devices(tx: &mut Tx<'_>, worker: WorkerId) -> Result<(), StoreError> {
    sqlx::query("delete from worker_device where worker_id = ?").bind(worker.0).execute(&mut *tx.connection).await?;
    Ok(())
}

async fn insert_device(tx: &mut Tx<'_>, worker: WorkerId, device: Device, name: &str) -> Result<(), StoreError> {
    sqlx::query("insert or replace into worker_device (worker_id, device, name) values (?, ?, ?)")
        .bind(worker.0)
        .bind(device.to_string())
        .bind(name)
        .execute(&mut *tx.connection)
        .await?;
    Ok(())
}

/// Whether it was online before.
async fn set_offline(tx: &mut Tx<'_>, worker: WorkerId) -> Result<bool, StoreError> {
    let updated = sqlx::query("update worker set online = 0, last_seen_at = ? where worker_id = ? and online = 1")
        .bind(tx.now)
        .bind(worker.0)
        .execute(&mut *tx.connection)
        .await?;
    Ok(updated.rows_affected() == 1)
}

type WorkerRow = (i64, String, String, bool, i64);

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
        let mut reader = self.readers.begin().await?;
        let found: Vec<WorkerRow> = sqlx::query_as(
            "select worker_id, node, version, online, last_seen_at from worker \
             where online = 1 or worker_id in ( \
                 select max(worker_id) as newest from worker group by node having max(online) = 0 \
                 order by newest desc limit ?) \
             order by online desc, worker_id desc",
        )
        .bind(DEPARTED)
        .fetch_all(&mut *reader)
        .await?;
        let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
        let mut devices = device_views(&mut reader, &ids).await?;
        let view = |(id, node, version, online, last_seen_at): WorkerRow| {
            let devices = devices.remove(&id).unwrap_or_default();
            WorkerView { id: WorkerId(id), node, version, online, last_seen_at, devices }
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// All workers that are online, and when they came.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn workers_online(&self) -> Result<Vec<(WorkerId, i64)>, StoreError> {
        let found: Vec<(i64, i64)> =
            sqlx::query_as("select worker_id, last_seen_at from worker where online = 1 order by worker_id")
                .fetch_all(&self.readers)
                .await?;
        Ok(found.into_iter().map(|(id, seen)| (WorkerId(id), seen)).collect())
    }

    /// The devices of the workers that are online, each once.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn devices_online(&self) -> Result<Vec<Device>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(
            "select distinct device from worker_device join worker using (worker_id) where online = 1 order by device",
        )
        .fetch_all(&self.readers)
        .await?;
        found.iter().map(|device| names::device(device)).collect()
    }
}

/// The devices of these workers and what runs there, by worker.
async fn device_views(
    connection: &mut sqlx::SqliteConnection,
    workers: &[i64],
) -> Result<HashMap<i64, Vec<DeviceView>>, StoreError> {
    let found: Vec<(i64, String, Option<i64>)> = sqlx::query_as(
        "select worker_device.worker_id, worker_device.device, job_id from worker_device left join attempt \
             on attempt.worker_id = worker_device.worker_id and attempt.device = worker_device.device \
             and attempt.ended_at is null \
         where worker_device.worker_id in (select value from json_each(?)) order by 1, 2",
    )
    .bind(serde_json::to_string(workers)?)
    .fetch_all(connection)
    .await?;
    let mut views: HashMap<i64, Vec<DeviceView>> = HashMap::new();
    for (worker, device, job) in found {
        views.entry(worker).or_default().push(DeviceView { device, job: job.map(JobId) });
    }
    Ok(views)
}
