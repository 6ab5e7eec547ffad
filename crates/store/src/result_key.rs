//! What a result was made of, as one hash: what was asked, the code, the images, and all that it needs.

use std::collections::HashMap;

use rrm_spec::{ArtifactHash, JobId, JobSpec, RunStarted};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::attempt::AttemptRow;
use crate::job::JobRow;
use crate::reading::Reading;
use crate::submission::outer_id;
use crate::{StoreError, Tx, job, sql};

/// Of this hash.
const VERSION: &str = "rrm result key 1";

/// The key of what `code` makes of a job with that content key and those images (none where a job makes them); `needed` are the keys of
/// the jobs that it needs, in the spec's order.
pub(crate) fn of(content: &ArtifactHash, code: &str, images: Option<&str>, needed: &[ArtifactHash]) -> ArtifactHash {
    let mut hasher = Sha256::new();
    let parts = [VERSION, content.as_str(), code, images.unwrap_or_default()];
    for part in parts.into_iter().chain(needed.iter().map(ArtifactHash::as_str)) {
        hasher.update(part);
        hasher.update([0u8]);
    }
    hex::encode(hasher.finalize()).parse().expect("SHA-256 has 64 hexadecimal digits")
}

/// Keeps what an attempt that has begun tells of its images and its code.
pub(crate) fn keep(tx: &mut Tx<'_>, job: &JobRow, attempt: &AttemptRow, run: &RunStarted) -> Result<(), StoreError> {
    let Some(data) = &run.data_sha256 else { return Ok(()) };
    let spec = job::spec_of(tx, job.id)?;
    let reading = Reading::of(&spec);
    if let Some(reading) = &reading {
        reading.keep(tx, data)?;
    }
    if run.first_epoch > 1 && others_began(tx.connection, job.id, &run.code_version)? {
        return Ok(());
    }
    let (Some(content), Some(needed)) = (&job.content_key, needed(tx.connection, &spec)?) else { return Ok(()) };
    let key = of(content, &run.code_version, reading.map(|_| data.as_str()), &needed);
    sql::query("update attempt set result_key = ? where attempt_id = ?")
        .bind(key.as_str())
        .bind(attempt.id.0)
        .execute(tx.connection)?;
    Ok(())
}

/// Whether another version of the code had a part in what this attempt goes on from: an attempt at this job, or at one that it retries.
fn others_began(connection: &Connection, job: JobId, code: &str) -> Result<bool, StoreError> {
    sql::query_scalar(
        "with recursive line (job_id) as ( \
             select ?1 union all \
             select job.retry_of from line cross join job using (job_id) where job.retry_of is not null) \
         select exists (select 1 from line cross join attempt using (job_id) where code_version <> ?2)",
    )
    .bind(job.0)
    .bind(code)
    .fetch_one(connection)
}

/// The keys of the jobs that a stored job needs; nothing where one of them has none.
fn needed(connection: &Connection, spec: &JobSpec) -> Result<Option<Vec<ArtifactHash>>, StoreError> {
    let parents: Vec<JobId> = spec.needs().into_iter().filter_map(|need| outer_id(need.job)).collect();
    let keys = of_jobs(connection, &parents)?;
    Ok(parents.iter().map(|id| keys.get(id).cloned()).collect())
}

/// The keys of the jobs that have succeeded, where they have one.
pub(crate) fn of_jobs(connection: &Connection, ids: &[JobId]) -> Result<HashMap<JobId, ArtifactHash>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(i64, String)> = sql::query_as(
        "select job_id, result_key from json_each(?) named cross join attempt on attempt.job_id = named.value \
         where outcome = 'ok' and result_key is not null",
    )
    .bind(serde_json::to_string(ids)?)
    .fetch_all(connection)?;
    found.into_iter().map(|(id, key)| Ok((JobId(id), key.parse().map_err(StoreError::internal)?))).collect()
}
