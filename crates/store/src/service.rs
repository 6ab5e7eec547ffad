//! Devices in and out of service: a sick one must not eat the queue.

use rrm_spec::{AttemptOutcome, Device, JobId, Sign, Went, is_sick};
use serde_json::json;

use crate::attempt::{AttemptRow, End};
use crate::event::Of;
use crate::{StoreError, Tx, Write, event, names, sql};

/// Takes in what an attempt's end, which is `of` its job, tells of the device on which it computed.
pub(crate) fn note(tx: &mut Tx<'_>, attempt: &AttemptRow, end: &End, of: Of) -> Result<(), StoreError> {
    let lasted_us = tx.now.saturating_sub(attempt.started_at);
    let went = Went { outcome: end.outcome, lasted_us, signal: end.signal, failed_elsewhere: false };
    let place = Place { node: node_of(tx, attempt)?, device: attempt.device };
    let failed_elsewhere = went.failed_at_once() && place.failed_elsewhere(tx, attempt.job)?;
    match (Went { failed_elsewhere, ..went }).sign() {
        Sign::Sound => place.clear(tx),
        Sign::Suspect => place.suspect(tx, attempt, end, of),
        Sign::None => Ok(()),
    }
}

fn node_of(tx: &mut Tx<'_>, attempt: &AttemptRow) -> Result<String, StoreError> {
    let node = sql::query_scalar("select node from worker where worker_id = ?").bind(attempt.worker.0);
    node.fetch_one(tx.connection)
}

/// A device of a machine, whichever worker has it.
struct Place {
    node: String,
    device: Device,
}

impl Place {
    /// Whether the job has failed as soon as it began somewhere else, too.
    fn failed_elsewhere(&self, tx: &mut Tx<'_>, job: JobId) -> Result<bool, StoreError> {
        let others: Vec<(String, i64, Option<i32>)> = sql::query_as(
            "select outcome, ended_at - started_at, signal from attempt join worker using (worker_id) \
             where job_id = ? and ended_at is not null and (node <> ? or device <> ?)",
        )
        .bind(job.0)
        .bind(&self.node)
        .bind(self.device.to_string())
        .fetch_all(tx.connection)?;
        for (outcome, lasted_us, signal) in others {
            let outcome: AttemptOutcome = names::outcome(&outcome)?;
            if (Went { outcome, lasted_us, signal, failed_elsewhere: false }).failed_at_once() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn clear(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        sql::query("update device_service set failed = '[]' where node = ? and device = ? and failed <> '[]'")
            .bind(&self.node)
            .bind(self.device.to_string())
            .execute(tx.connection)?;
        Ok(())
    }

    fn suspect(&self, tx: &mut Tx<'_>, attempt: &AttemptRow, end: &End, of: Of) -> Result<(), StoreError> {
        let mut failed = self.failed(tx)?;
        if !failed.contains(&attempt.job) {
            failed.push(attempt.job);
        }
        sql::query(
            "insert into device_service (node, device, failed) values (?1, ?2, ?3) on conflict do update set failed = ?3",
        )
        .bind(&self.node)
        .bind(self.device.to_string())
        .bind(serde_json::to_string(&failed)?)
        .execute(tx.connection)?;
        if is_sick(&failed) { self.take_out(tx, &failed, end, of) } else { Ok(()) }
    }

    fn failed(&self, tx: &mut Tx<'_>) -> Result<Vec<JobId>, StoreError> {
        let found: Option<String> =
            sql::query_scalar("select failed from device_service where node = ? and device = ?")
                .bind(&self.node)
                .bind(self.device.to_string())
                .fetch_optional(tx.connection)?;
        Ok(found.map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(&text))?)
    }

    /// Gives the device no more jobs until somebody restores it.
    fn take_out(&self, tx: &mut Tx<'_>, failed: &[JobId], end: &End, of: Of) -> Result<(), StoreError> {
        let jobs = failed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let last = end.message.as_deref().unwrap_or_else(|| end.outcome.name());
        let reason = format!("jobs {jobs} failed one after the other as soon as they began, the last one with: {last}");
        let updated = sql::query(
            "update device_service set out_since = ?, reason = ? where node = ? and device = ? and out_since is null",
        )
        .bind(tx.now)
        .bind(&reason)
        .bind(&self.node)
        .bind(self.device.to_string())
        .execute(tx.connection)?;
        if updated.rows_affected == 0 {
            return Ok(());
        }
        let data = json!({ "node": self.node, "device": self.device, "reason": reason });
        event::add(tx, "device.out-of-service", of, data)
    }
}

/// Gives a device jobs again. One that is in service stays there.
pub struct RestoreDevice {
    /// Its machine.
    pub node: String,
    /// Which.
    pub device: Device,
}

impl Write for RestoreDevice {
    /// Whether it was out of service.
    type Output = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let Self { node, device } = self;
        let known: bool = sql::query_scalar(
            "select exists (select 1 from worker join worker_device using (worker_id) where node = ? and device = ?)",
        )
        .bind(&node)
        .bind(device.to_string())
        .fetch_one(tx.connection)?;
        if !known {
            return Err(StoreError::not_found(format!("device {device} of {node}")));
        }
        let was_out: Option<i64> = sql::query_scalar(
            "delete from device_service where node = ? and device = ? returning out_since is not null",
        )
        .bind(&node)
        .bind(device.to_string())
        .fetch_optional(tx.connection)?;
        if was_out != Some(1) {
            return Ok(false);
        }
        // Whoever waits for a job may have one now.
        tx.queued = true;
        event::add(tx, "device.restored", Of::default(), json!({ "node": node, "device": device }))?;
        Ok(true)
    }
}
