//! Jobs of a plan that earlier jobs have done already.

use std::collections::{BTreeSet, HashMap, HashSet};

use rrm_spec::{ArtifactHash, DeviceRequest, JobId, JobRef, SubmissionId};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::reading::{self, Reading};
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

/// A job that has succeeded and was asked for what another one is asked for now.
struct Earlier {
    id: JobId,
    /// Where it ran; absent where its trainer did not say.
    device: Option<rrm_spec::Device>,
    /// What its result was made of, where that is known and what it made is there.
    result: Option<ArtifactHash>,
}

impl Earlier {
    /// Times of another device say nothing.
    fn ran_on(&self, request: DeviceRequest) -> bool {
        match self.device {
            Some(device) => device.satisfies(request),
            None => request == DeviceRequest::Any,
        }
    }
}

/// What has been done of a plan.
#[derive(Default)]
pub(crate) struct Finished {
    /// For each job of the plan the newest one that has done it.
    done: Vec<Option<JobId>>,
    /// How many others were done before, but by other code, of other images, on another device, or what was made is gone.
    pub(crate) outdated: usize,
}

impl Finished {
    /// What the code of today has made of the images of today.
    pub(crate) fn of(connection: &Connection, asked: &[Asked<'_>]) -> Result<Self, StoreError> {
        let (codes, readings, earlier) = (codes(connection)?, reading::all(connection)?, earlier(connection, asked)?);
        let outer = result_key::of_jobs(connection, &outer_parents(asked))?;
        let (mut results, mut finished) = (HashMap::<&str, ArtifactHash>::new(), Self::default());
        for Asked { job, spec, content_key } in asked {
            let earlier = content_key.as_ref().and_then(|key| earlier.get(key.as_str())).map_or(&[][..], Vec::as_slice);
            let needed = spec.needs().into_iter().map(|need| match need.job {
                JobRef::Name(name) => results.get(name.as_str()).cloned(),
                JobRef::Id(id) => outer.get(id).cloned(),
            });
            let reading = Reading::of(spec);
            let images = reading.as_ref().and_then(|reading| readings.get(reading)).map(String::as_str);
            let expected: Vec<ArtifactHash> = match (content_key, needed.collect::<Option<Vec<_>>>()) {
                (Some(content), Some(needed)) if images.is_some() == reading.is_some() => {
                    codes.iter().map(|code| result_key::of(content, code, images, &needed)).collect()
                }
                _ => Vec::new(),
            };
            let suits =
                |it: &&Earlier| it.result.as_ref().is_some_and(|it| expected.contains(it)) && it.ran_on(job.device);
            let done = earlier.iter().rev().find(suits);
            // What is to be done anew will most likely be done by the newest code.
            let result = done.and_then(|done| done.result.clone()).or_else(|| expected.into_iter().next());
            results.extend(result.map(|result| (job.name.as_str(), result)));
            finished.outdated += usize::from(done.is_none() && !earlier.is_empty());
            finished.done.push(done.map(|done| done.id));
        }
        Ok(finished)
    }

    /// The job that has done what the plan's job of that place is to do.
    pub(crate) fn find(&self, ordinal: u32) -> Option<JobId> {
        *self.done.get(ordinal as usize)?
    }
}

/// The jobs that have succeeded, by their content keys, where these are asked for; the newest last. An evaluation is in the database as a
/// whole; other jobs need the file that they made.
fn earlier(connection: &Connection, asked: &[Asked<'_>]) -> Result<HashMap<String, Vec<Earlier>>, StoreError> {
    let keys: HashSet<&ArtifactHash> = asked.iter().filter_map(|asked| asked.content_key.as_ref()).collect();
    let found: Vec<(String, i64, Option<String>, Option<String>)> = sql::query_as(
        "select job.content_key, job.job_id, attempt.run_device, case when \
             (job.kind = 'evaluate' and coalesce(job.spec ->> '$.keep_images', 0) = 0) or exists ( \
                 select 1 from checkpoint join artifact using (sha256) \
                 where checkpoint.attempt_id = attempt.attempt_id and checkpoint.role = 'final' \
                     and checkpoint.released_at is null) \
             then attempt.result_key end \
         from json_each(?) named \
         cross join job indexed by job_content on job.content_key = named.value and job.state = 'succeeded' \
         join attempt on attempt.job_id = job.job_id and attempt.outcome = 'ok' \
         order by job.job_id",
    )
    .bind(serde_json::to_string(&keys)?)
    .fetch_all(connection)?;
    let mut earlier: HashMap<String, Vec<Earlier>> = HashMap::new();
    for (key, id, device, result) in found {
        let device = device.as_deref().map(names::device).transpose()?;
        let result = result.map(|key| key.parse().map_err(StoreError::internal)).transpose()?;
        earlier.entry(key).or_default().push(Earlier { id: JobId(id), device, result });
    }
    Ok(earlier)
}

/// The jobs to which the plan refers by their ids.
fn outer_parents(asked: &[Asked<'_>]) -> Vec<JobId> {
    let needs = asked.iter().flat_map(|asked| asked.spec.needs());
    let ids: BTreeSet<JobId> = needs.filter_map(|need| outer_id(need.job)).collect();
    ids.into_iter().collect()
}

/// The versions of the code that workers run that are online, that of the newest first; where none is, of the one that registered last.
fn codes(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let online: Vec<String> = sql::query_scalar(
        "select code_version from worker where online = 1 and code_version is not null \
         group by code_version order by max(worker_id) desc",
    )
    .fetch_all(connection)?;
    if !online.is_empty() {
        return Ok(online);
    }
    sql::query_scalar(
        "select code_version from (select code_version from worker order by worker_id desc limit 1) \
         where code_version is not null",
    )
    .fetch_all(connection)
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
