//! What a result was made of, as one hash: what was asked, the code, the images, and all that it needs.

use rrm_spec::{ArtifactHash, JobSpec, RunStarted};
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::attempt::AttemptRow;
use crate::job::JobRow;
use crate::{StoreError, Tx, sql};

/// Of this hash.
const VERSION: &str = "rrm result key 1";

/// The key of what `code` makes of a job with that content key and those images; `needed` are the keys of what it needs.
///
/// Neither their order nor their number matters: which of them is what, the content key knows.
pub(crate) fn of(content: &ArtifactHash, code: &str, images: &str, mut needed: Vec<ArtifactHash>) -> ArtifactHash {
    needed.sort();
    needed.dedup();
    let mut hasher = Sha256::new();
    for part in [VERSION, content.as_str(), code, images].into_iter().chain(needed.iter().map(ArtifactHash::as_str)) {
        hasher.update(part);
        hasher.update([0u8]);
    }
    hex::encode(hasher.finalize()).parse().expect("SHA-256 has 64 hexadecimal digits")
}

/// Which images a job reads, by their names; none where a job or a file makes them, whose key or hash the job's own key holds.
pub(crate) fn reading(spec: &JobSpec) -> Option<String> {
    let (split, count) = match spec {
        JobSpec::Train(spec) if spec.training_set.is_some() => return None,
        JobSpec::Train(spec) => ("train", spec.dataset.train_images),
        JobSpec::Synthesize(spec) => ("train", spec.dataset.train_images),
        JobSpec::Evaluate(spec) => ("test", spec.images),
    };
    Some(json!([split, spec.dataset().name.to_string(), count]).to_string())
}

/// Keeps what an attempt that has begun tells of its code and its images.
pub(crate) fn keep(tx: &mut Tx<'_>, job: &JobRow, attempt: &AttemptRow, run: &RunStarted) -> Result<(), StoreError> {
    let (Some(content), Some(data)) = (&job.content_key, &run.data_sha256) else { return Ok(()) };
    let spec: String =
        sql::query_scalar("select spec from job where job_id = ?").bind(job.id.0).fetch_one(tx.connection)?;
    let reading = reading(&serde_json::from_str(&spec)?);
    if let Some(images) = &reading {
        sql::query(
            "insert into reading (images, data_sha256) values (?1, ?2) on conflict do update set data_sha256 = ?2",
        )
        .bind(images)
        .bind(data.as_str())
        .execute(tx.connection)?;
    }
    if run.first_epoch > 1 && others_began(tx.connection, job, &run.code_version)? {
        return Ok(());
    }
    let Some(needed) = needed(tx.connection, job)? else { return Ok(()) };
    let images = if reading.is_some() { data.as_str() } else { "" };
    sql::query("update attempt set result_key = ? where attempt_id = ?")
        .bind(of(content, &run.code_version, images, needed).as_str())
        .bind(attempt.id.0)
        .execute(tx.connection)?;
    Ok(())
}

/// Whether another version of the code had a part in what this attempt goes on from.
fn others_began(connection: &Connection, job: &JobRow, code: &str) -> Result<bool, StoreError> {
    sql::query_scalar("select exists (select 1 from attempt where job_id = ? and code_version <> ?)")
        .bind(job.id.0)
        .bind(code)
        .fetch_one(connection)
}

/// The keys of the jobs that a job needs; nothing where one of them has none.
fn needed(connection: &Connection, job: &JobRow) -> Result<Option<Vec<ArtifactHash>>, StoreError> {
    let keys: Vec<Option<String>> = sql::query_scalar(
        "select attempt.result_key from dependency \
         left join attempt on attempt.job_id = dependency.parent_id and attempt.outcome = 'ok' \
         where dependency.job_id = ?",
    )
    .bind(job.id.0)
    .fetch_all(connection)?;
    keys.into_iter().map(|key| key.map(|key| key.parse().map_err(StoreError::internal)).transpose()).collect()
}
