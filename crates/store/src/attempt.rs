//! Attempts: lease, fence and history.

use rrm_spec::{ArtifactHash, AttemptId, AttemptOutcome, Booking, Device, JobId, RequestId, RunStarted, WorkerId};
use rusqlite::Row;

use crate::sql::FromRow;
use crate::{StoreError, Tx, names, sql};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The kind of end.
    pub outcome: AttemptOutcome,
    /// What was said about it.
    pub message: Option<String>,
    /// The trainer's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl End {
    /// An end of which nothing but its kind is known.
    pub fn silent(outcome: AttemptOutcome, message: &str) -> Self {
        Self { outcome, message: Some(message.to_owned()), exit_code: None, signal: None }
    }
}

#[derive(Clone)]
pub(crate) struct AttemptRow {
    pub(crate) id: AttemptId,
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    pub(crate) device: Device,
    pub(crate) outcome: Option<AttemptOutcome>,
    /// Number of the last stored record.
    pub(crate) last_seq: u64,
    pub(crate) first_epoch: Option<u32>,
    /// When it was leased.
    pub(crate) started_at: i64,
}

impl FromRow for AttemptRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let outcome = sql::optional_text(row, "outcome")?.map(names::outcome).transpose();
        Ok(Self {
            id: AttemptId(row.get("attempt_id")?),
            job: JobId(row.get("job_id")?),
            worker: WorkerId(row.get("worker_id")?),
            device: names::device(sql::text(row, "device")?)?,
            outcome: outcome?,
            last_seq: names::unsigned(row.get("last_seq")?)?,
            first_epoch: row.get("first_epoch")?,
            started_at: row.get("started_at")?,
        })
    }
}

pub(crate) fn find(tx: &mut Tx<'_>, id: AttemptId) -> Result<Option<AttemptRow>, StoreError> {
    sql::query_as("select * from attempt where attempt_id = ?").bind(id.0).fetch_optional(tx.connection)
}

/// The fence: only a running job's current attempt may write. Called inside the transaction that writes.
pub(crate) fn current(tx: &mut Tx<'_>, id: AttemptId) -> Result<AttemptRow, StoreError> {
    let found = sql::query_as(
        "select attempt.* from attempt join job on job.attempt_id = attempt.attempt_id \
         where attempt.attempt_id = ? and job.state = 'running'",
    )
    .bind(id.0)
    .fetch_optional(tx.connection)?;
    found.ok_or(StoreError::LeaseLost { attempt: id })
}

/// A worker's attempts that have not ended.
pub(crate) fn open_of(tx: &mut Tx<'_>, worker: WorkerId) -> Result<Vec<AttemptRow>, StoreError> {
    // By what it has booked: a worker may have had a million attempts.
    sql::query_as(
        "select * from attempt where attempt_id in ( \
             select attempt_id from attempt_device indexed by attempt_device_open where worker_id = ? and open = 1) \
         order by attempt_id",
    )
    .bind(worker.0)
    .fetch_all(tx.connection)
}

/// Whether a lease call got something before.
pub(crate) fn was_leased(tx: &mut Tx<'_>, worker: WorkerId, request: &RequestId) -> Result<bool, StoreError> {
    sql::query_scalar("select exists (select 1 from attempt where worker_id = ? and lease_request = ?)")
        .bind(worker.0)
        .bind(request.as_str())
        .fetch_one(tx.connection)
}

/// Stores a new attempt with the parts of devices that are its own; it computes on the first of the devices.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    job: JobId,
    worker: WorkerId,
    bookings: &[Booking],
    request: &RequestId,
) -> Result<AttemptId, StoreError> {
    let device = bookings.first().ok_or_else(|| StoreError::internal("an attempt without a device"))?.device;
    let inserted = sql::query(
        "insert into attempt (job_id, number, worker_id, device, lease_request, started_at) \
         select ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 from attempt where job_id = ?1",
    )
    .bind(job.0)
    .bind(worker.0)
    .bind(device.to_string())
    .bind(request.as_str())
    .bind(tx.now)
    .execute(tx.connection)?;
    let id = inserted.last_insert_rowid;
    for Booking { device, parts } in bookings {
        for part in parts {
            book(tx, id, worker, *device, *part)?;
        }
    }
    Ok(AttemptId(id))
}

/// A unique index refuses what is booked already.
fn book(tx: &mut Tx<'_>, attempt: i64, worker: WorkerId, device: Device, part: u32) -> Result<(), StoreError> {
    sql::query("insert into attempt_device (attempt_id, worker_id, device, part, open) values (?, ?, ?, ?, 1)")
        .bind(attempt)
        .bind(worker.0)
        .bind(device.to_string())
        .bind(part)
        .execute(tx.connection)?;
    Ok(())
}

/// What an attempt has for itself.
pub(crate) struct Booked {
    /// On this one it computes.
    pub(crate) device: Device,
    pub(crate) more_devices: Vec<Device>,
    /// Of each of the devices.
    pub(crate) parts: u32,
}

pub(crate) fn booked(tx: &mut Tx<'_>, id: AttemptId) -> Result<Booked, StoreError> {
    let found: Vec<(String, u32, bool)> = sql::query_as(
        "select attempt_device.device, count(*), attempt_device.device = attempt.device as is_first \
         from attempt join attempt_device using (attempt_id) where attempt_id = ? \
         group by attempt_device.device order by is_first desc, 1",
    )
    .bind(id.0)
    .fetch_all(tx.connection)?;
    let devices: Vec<Device> = found.iter().map(|(device, ..)| names::device(device)).collect::<Result<_, _>>()?;
    match (devices.split_first(), found.first()) {
        (Some((device, more)), Some((_, parts, _))) => {
            Ok(Booked { device: *device, more_devices: more.to_vec(), parts: *parts })
        }
        _ => Err(StoreError::internal(format!("attempt {id} has no device"))),
    }
}

pub(crate) fn close(tx: &mut Tx<'_>, id: AttemptId, end: &End) -> Result<(), StoreError> {
    sql::query(
        "update attempt set ended_at = ?, outcome = ?, message = ?, exit_code = ?, signal = ? where attempt_id = ?",
    )
    .bind(tx.now)
    .bind(end.outcome.name())
    .bind(end.message.as_deref())
    .bind(end.exit_code)
    .bind(end.signal)
    .bind(id.0)
    .execute(tx.connection)?;
    sql::query("update attempt_device set open = 0 where attempt_id = ?").bind(id.0).execute(tx.connection)?;
    Ok(())
}

pub(crate) fn set_last_seq(tx: &mut Tx<'_>, id: AttemptId, seq: u64) -> Result<(), StoreError> {
    sql::query("update attempt set last_seq = ? where attempt_id = ?")
        .bind(names::signed(seq, "first_seq")?)
        .bind(id.0)
        .execute(tx.connection)?;
    Ok(())
}

pub(crate) fn set_run(tx: &mut Tx<'_>, id: AttemptId, run: &RunStarted) -> Result<(), StoreError> {
    sql::query(
        "update attempt set run_device = ?, run_threads = ?, code_version = ?, parameters = ?, first_epoch = ?, \
             data_sha256 = ?, spec_sha256 = ? \
         where attempt_id = ?",
    )
    .bind(&run.device)
    .bind(run.threads)
    .bind(&run.code_version)
    .bind(names::signed(run.parameters, "parameters")?)
    .bind(run.first_epoch)
    .bind(run.data_sha256.as_ref().map(ArtifactHash::as_str))
    .bind(run.spec_sha256.as_ref().map(ArtifactHash::as_str))
    .bind(id.0)
    .execute(tx.connection)?;
    Ok(())
}
