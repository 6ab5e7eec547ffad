//! What jobs ask for, each different request once.

use std::collections::HashMap;

use rrm_spec::{Demand, DeviceRequest};
use rusqlite::Connection;

use crate::{StoreError, Tx, names, sql};

/// The ids of these requests, in their order; those that nobody has made before are stored.
pub(crate) fn intern(tx: &mut Tx<'_>, demands: &[Demand]) -> Result<Vec<i64>, StoreError> {
    let mut known: HashMap<(&'static str, String), i64> = HashMap::new();
    let mut ids = Vec::with_capacity(demands.len());
    for demand in demands {
        let key = (names::request_name(demand.device), resources_text(demand)?);
        let id = match known.get(&key) {
            Some(id) => *id,
            None => {
                let id = find_or_insert(tx, &key)?;
                known.insert(key, id);
                id
            }
        };
        ids.push(id);
    }
    Ok(ids)
}

/// Equal requests have equal texts.
fn resources_text(demand: &Demand) -> Result<String, StoreError> {
    let mut resources = demand.resources.clone();
    resources.labels.sort();
    Ok(serde_json::to_string(&resources)?)
}

fn find_or_insert(tx: &mut Tx<'_>, (device, resources): &(&'static str, String)) -> Result<i64, StoreError> {
    sql::query("insert into demand (device, resources) values (?, ?) on conflict do nothing")
        .bind(device)
        .bind(resources)
        .execute(tx.connection)?;
    sql::query_scalar("select demand_id from demand where device = ? and resources = ?")
        .bind(device)
        .bind(resources)
        .fetch_one(tx.connection)
}

/// One row of the table.
pub(crate) type DemandRow = (i64, String, String);

pub(crate) fn read((id, device, resources): DemandRow) -> Result<(i64, Demand), StoreError> {
    let device: DeviceRequest = names::request(&device)?;
    Ok((id, Demand { device, resources: serde_json::from_str(&resources)? }))
}

/// Leaps from one different request of queued jobs to the next: their number is small, that of the jobs may be a million.
pub(crate) const QUEUED_DEMANDS: &str = "with recursive waiting (demand_id) as ( \
        select (select demand_id from job indexed by job_claim where state = 'queued' and held = 0 \
            order by demand_id limit 1) \
        union all \
        select (select demand_id from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id > waiting.demand_id order by demand_id limit 1) \
        from waiting where waiting.demand_id is not null) \
    select demand.demand_id, demand.device, demand.resources from waiting cross join demand using (demand_id)";

/// For one request, leaps from one different time limit of queued jobs to the next, those without one first.
pub(crate) const QUEUED_LIMITS: &str = "with recursive limited (seconds) as ( \
        select (select time_limit_s from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and time_limit_s > 0 order by time_limit_s limit 1) \
        union all \
        select (select time_limit_s from job indexed by job_claim \
            where state = 'queued' and held = 0 and demand_id = ?1 and time_limit_s > limited.seconds \
            order by time_limit_s limit 1) \
        from limited where limited.seconds is not null) \
    select null where exists (select 1 from job indexed by job_claim \
        where state = 'queued' and held = 0 and demand_id = ?1 and time_limit_s is null) \
    union all select seconds from limited where seconds is not null";

/// Queued jobs that ask for the same, for as long: to a worker they are equal.
pub(crate) struct Lane {
    pub(crate) demand_id: i64,
    pub(crate) demand: Demand,
    pub(crate) time_limit_s: Option<i64>,
}

/// The lanes in which jobs are queued.
pub(crate) fn lanes(connection: &Connection) -> Result<Vec<Lane>, StoreError> {
    let mut lanes = Vec::new();
    let demands: Vec<DemandRow> = sql::query_as(QUEUED_DEMANDS).fetch_all(connection)?;
    for row in demands {
        let (demand_id, demand) = read(row)?;
        let limits: Vec<Option<i64>> = sql::query_scalar(QUEUED_LIMITS).bind(demand_id).fetch_all(connection)?;
        lanes.extend(limits.into_iter().map(|time_limit_s| Lane { demand_id, demand: demand.clone(), time_limit_s }));
    }
    Ok(lanes)
}
