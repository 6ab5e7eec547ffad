//! Jobs of a plan that earlier jobs have done already.

use std::collections::{BTreeMap, HashMap, HashSet};

use rrm_spec::{ArtifactHash, DeviceRequest, JobId, JobRef, SubmissionId};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::submission::{Asked, outer_id};
use crate::{StoreError, Tx, names, result_key, sql};

/// Whether what has been done before is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A job is taken for done where one has succeeded that was asked for the same, and the same code has made it of the same images;
    /// as long as what that one made is there.
    Yes,
    /// Every job is queued.
    No,
}

/// A job that has done what others may want done.
struct Done {
    id: JobId,
    /// Where it ran; absent where its trainer did not say.
    device: Option<rrm_spec::Device>,
}

/// For each job of a plan those that have done it and whose products are there, the newest last.
pub(crate) struct Finished(Vec<Vec<Done>>);

impl Finished {
    /// None.
    pub(crate) fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Those that the code of today made of the images of today. An evaluation is in the database as a whole; other jobs need the
    /// file that they made.
    pub(crate) fn of(tx: &mut Tx<'_>, asked: &[Asked<'_>]) -> Result<Self, StoreError> {
        let results = results(tx.connection, asked)?;
        let all: Vec<&ArtifactHash> = results.iter().flatten().collect();
        let found: Vec<(String, i64, Option<String>)> = sql::query_as(
            "select attempt.result_key, job.job_id, attempt.run_device from json_each(?) named \
             cross join attempt indexed by attempt_result on attempt.result_key = named.value and attempt.outcome = 'ok' \
             join job on job.job_id = attempt.job_id and job.state = 'succeeded' \
             where (job.kind = 'evaluate' and coalesce(job.spec ->> '$.keep_images', 0) = 0) or exists ( \
                 select 1 from checkpoint join artifact using (sha256) \
                 where checkpoint.attempt_id = attempt.attempt_id and checkpoint.role = 'final' \
                     and checkpoint.released_at is null)",
        )
        .bind(serde_json::to_string(&all)?)
        .fetch_all(tx.connection)?;
        let mut by_key: HashMap<String, BTreeMap<JobId, Option<rrm_spec::Device>>> = HashMap::new();
        for (key, id, device) in found {
            let device = device.as_deref().map(names::device).transpose()?;
            by_key.entry(key).or_default().insert(JobId(id), device);
        }
        let done = |keys: &Vec<ArtifactHash>| {
            let found: BTreeMap<_, _> = keys.iter().filter_map(|key| by_key.get(key.as_str())).flatten().collect();
            found.into_iter().map(|(&id, &device)| Done { id, device }).collect()
        };
        Ok(Self(results.iter().map(done).collect()))
    }

    /// The newest that did what the plan's job of that place is to do, on a device that was asked for: times of another say nothing.
    pub(crate) fn find(&self, ordinal: u32, request: DeviceRequest) -> Option<JobId> {
        let suits = |done: &&Done| match done.device {
            Some(device) => device.satisfies(request),
            None => request == DeviceRequest::Any,
        };
        self.0.get(ordinal as usize)?.iter().rev().find(suits).map(|done| done.id)
    }
}

/// For each job of a plan the result keys that it would have, one for each version of the code that could run it.
fn results(connection: &Connection, asked: &[Asked<'_>]) -> Result<Vec<Vec<ArtifactHash>>, StoreError> {
    let (readings, outer) = (readings(connection, asked)?, outer(connection, asked)?);
    let mut results = vec![Vec::new(); asked.len()];
    for code in codes(connection)? {
        let mut made: HashMap<&str, ArtifactHash> = HashMap::new();
        for (Asked { job, spec, content_key }, results) in asked.iter().zip(&mut results) {
            let needed = spec.needs().into_iter().map(|need| match need.job {
                JobRef::Name(name) => made.get(name.as_str()).cloned(),
                JobRef::Id(id) => outer.get(id).cloned(),
            });
            let images = match result_key::reading(spec) {
                Some(images) => readings.get(&images).map(String::as_str),
                None => Some(""),
            };
            if let (Some(content), Some(images), Some(needed)) = (content_key, images, needed.collect()) {
                let result = result_key::of(content, &code, images, needed);
                results.push(result.clone());
                made.insert(&job.name, result);
            }
        }
    }
    Ok(results)
}

/// The hashes of the images that the newest runs found under the names that the jobs give.
fn readings(connection: &Connection, asked: &[Asked<'_>]) -> Result<HashMap<String, String>, StoreError> {
    let names: HashSet<String> = asked.iter().filter_map(|asked| result_key::reading(&asked.spec)).collect();
    let found: Vec<(String, String)> = sql::query_as(
        "select images, data_sha256 from json_each(?) named cross join reading on reading.images = named.value",
    )
    .bind(serde_json::to_string(&names)?)
    .fetch_all(connection)?;
    Ok(found.into_iter().collect())
}

/// The result keys of the jobs to which the plan refers by their ids.
fn outer(connection: &Connection, asked: &[Asked<'_>]) -> Result<HashMap<JobId, ArtifactHash>, StoreError> {
    let needs = asked.iter().flat_map(|asked| asked.spec.needs());
    let ids: HashSet<i64> = needs.filter_map(|need| outer_id(need.job)).map(|id| id.0).collect();
    let found: Vec<(i64, String)> = sql::query_as(
        "select job_id, result_key from json_each(?) named cross join attempt on attempt.job_id = named.value \
         where outcome = 'ok' and result_key is not null",
    )
    .bind(serde_json::to_string(&ids)?)
    .fetch_all(connection)?;
    found.into_iter().map(|(id, key)| Ok((JobId(id), key.parse().map_err(StoreError::internal)?))).collect()
}

/// The versions of the code that workers run that are online or, where none is, that of the one that came last.
fn codes(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let codes: Vec<String> = sql::query_scalar(
        "select distinct code_version from worker where online = 1 and code_version is not null order by code_version",
    )
    .fetch_all(connection)?;
    if !codes.is_empty() {
        return Ok(codes);
    }
    sql::query_scalar(
        "select code_version from (select code_version from worker order by worker_id desc limit 1) \
         where code_version is not null",
    )
    .fetch_all(connection)
}

/// How many of these have been done before, by whatever code and of whatever images.
pub(crate) fn asked_before<'k>(
    tx: &mut Tx<'_>,
    keys: impl Iterator<Item = &'k ArtifactHash>,
) -> Result<u64, StoreError> {
    let found: i64 = sql::query_scalar(
        "select count(*) from json_each(?) named where exists (select 1 from job indexed by job_content \
             where content_key = named.value and state = 'succeeded')",
    )
    .bind(serde_json::to_string(&keys.collect::<Vec<_>>())?)
    .fetch_one(tx.connection)?;
    names::unsigned(found)
}

/// A job that is not queued.
pub(crate) struct Reused<'p> {
    /// Its place in the plan.
    pub(crate) ordinal: u32,
    pub(crate) name: &'p str,
    /// The job that has done it.
    pub(crate) job: JobId,
}

pub(crate) fn insert(tx: &mut Tx<'_>, submission: SubmissionId, reused: &[Reused<'_>]) -> Result<(), StoreError> {
    if reused.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = reused.iter().map(|it| json!([it.ordinal, it.name, it.job])).collect();
    sql::query(
        "insert into reuse (submission_id, ordinal, name, job_id) \
         select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?)",
    )
    .bind(submission.0)
    .bind(Value::Array(rows).to_string())
    .execute(tx.connection)?;
    Ok(())
}
