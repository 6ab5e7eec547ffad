//! What owners have used of the devices.

use std::collections::HashMap;

use rrm_spec::{JobId, Usage, UserName, running_us, used_us};
use rusqlite::Connection;

use crate::{StoreError, Tx, sql};

/// Adds what an attempt has used that ends now.
pub(crate) fn record(tx: &mut Tx<'_>, job: JobId, started_at: i64) -> Result<(), StoreError> {
    let (owner, devices): (String, f64) = sql::query_as(
        "select job.owner, demand.resources ->> '$.devices' from job join demand using (demand_id) where job_id = ?",
    )
    .bind(job.0)
    .fetch_one(tx.connection)?;
    let used = used_us(tx.now.saturating_sub(started_at), devices);
    let before: Option<(f64, i64)> = sql::query_as("select device_us, used_at from owner_usage where owner = ?")
        .bind(&owner)
        .fetch_optional(tx.connection)?;
    let before = before.map_or(Usage { device_us: 0.0, at: tx.now }, |(device_us, at)| Usage { device_us, at });
    let after = before.plus(tx.now, used);
    sql::query(
        "insert into owner_usage (owner, device_us, used_at, total_device_us) values (?1, ?2, ?3, ?4) \
         on conflict do update set device_us = ?2, used_at = ?3, total_device_us = total_device_us + ?4",
    )
    .bind(owner)
    .bind(after.device_us)
    .bind(after.at)
    .bind(used)
    .execute(tx.connection)?;
    Ok(())
}

/// What each owner has used as of now, running attempts included; who is not named has used nothing.
pub(crate) struct Shares(HashMap<UserName, f64>);

impl Shares {
    pub(crate) fn of(connection: &Connection, now: i64) -> Result<Self, StoreError> {
        let mut shares = Self(HashMap::new());
        let ended: Vec<(String, f64, i64)> =
            sql::query_as("select owner, device_us, used_at from owner_usage").fetch_all(connection)?;
        for (owner, device_us, at) in ended {
            shares.add(name(owner)?, Usage { device_us, at }.decayed(now));
        }
        let running: Vec<(String, i64, f64)> = sql::query_as(
            "select job.owner, attempt.started_at, demand.resources ->> '$.devices' \
             from job indexed by job_running cross join attempt using (attempt_id) cross join demand using (demand_id) \
             where job.state = 'running'",
        )
        .fetch_all(connection)?;
        for (owner, started_at, devices) in running {
            shares.add(name(owner)?, running_us(now.saturating_sub(started_at), devices));
        }
        Ok(shares)
    }

    pub(crate) fn of_owner(&self, owner: &UserName) -> f64 {
        self.0.get(owner).copied().unwrap_or_default()
    }

    /// The others who have used as much as this owner, or more.
    pub(crate) fn others_with_as_much(&self, owner: &UserName) -> Vec<&UserName> {
        let least = self.of_owner(owner);
        let has_as_much = self.0.iter().filter(|(other, used)| *other != owner && **used >= least);
        has_as_much.map(|(other, _)| other).collect()
    }

    /// An attempt of an owner begins now.
    pub(crate) fn begin(&mut self, owner: &UserName, devices: f64) {
        self.add(owner.clone(), running_us(0, devices));
    }

    fn add(&mut self, owner: UserName, device_us: f64) {
        *self.0.entry(owner).or_default() += device_us;
    }
}

/// A stored owner's name.
pub(crate) fn name(text: String) -> Result<UserName, StoreError> {
    text.try_into().map_err(|error: rrm_spec::ParseIdError| StoreError::internal(error))
}
