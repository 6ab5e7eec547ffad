//! Checkpoints: what is recorded of them, and which one counts.

use rrm_spec::{AttemptId, CheckpointRecord, InputArtifact, JobId, ResumePoint};
use rusqlite::Row;

use crate::sql::FromRow;
use crate::{StoreError, Tx, names, sql};

pub(crate) struct CheckpointRow(pub(crate) CheckpointRecord);

impl FromRow for CheckpointRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(CheckpointRecord {
            epoch: row.get("epoch")?,
            role: names::role(sql::text(row, "role")?)?,
            path: row.get::<_, String>("path")?.into(),
            sha256: hash(row)?,
            bytes: names::unsigned(row.get("bytes")?)?,
        }))
    }
}

fn hash(row: &Row<'_>) -> Result<rrm_spec::ArtifactHash, StoreError> {
    sql::text(row, "sha256")?.parse().map_err(|e: rrm_spec::ParseIdError| StoreError::internal(e))
}

/// A checkpoint, and whether its file is stored.
struct Kept {
    checkpoint: CheckpointRow,
    stored: bool,
}

impl FromRow for Kept {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { checkpoint: CheckpointRow::from_row(row)?, stored: row.get("stored")? })
    }
}

/// Whether it is new; one of the same attempt, role and epoch is left as it is.
pub(crate) fn insert(tx: &mut Tx<'_>, attempt: AttemptId, record: &CheckpointRecord) -> Result<bool, StoreError> {
    let inserted = sql::query(
        "insert into checkpoint (attempt_id, epoch, role, path, sha256, bytes, recorded_at) \
         values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    )
    .bind(attempt.0)
    .bind(record.epoch)
    .bind(names::role_name(record.role))
    .bind(record.path.to_string_lossy())
    .bind(record.sha256.as_str())
    .bind(names::signed(record.bytes, "bytes")?)
    .bind(tx.now)
    .execute(tx.connection)?;
    Ok(inserted.rows_affected == 1)
}

pub(crate) fn find(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    like: &CheckpointRecord,
) -> Result<CheckpointRecord, StoreError> {
    let found: CheckpointRow =
        sql::query_as("select * from checkpoint where attempt_id = ? and role = ? and epoch = ?")
            .bind(attempt.0)
            .bind(names::role_name(like.role))
            .bind(like.epoch)
            .fetch_one(tx.connection)?;
    Ok(found.0)
}

/// Where the job's next attempt goes on: the newest checkpoint that leads to its current epochs and whose file is stored.
pub(crate) fn resume_point(tx: &mut Tx<'_>, job: JobId) -> Result<Option<ResumePoint>, StoreError> {
    let found: Option<CheckpointRow> =
        sql::query_as("select * from resume_point where job_id = ? order by epoch desc, checkpoint_id desc limit 1")
            .bind(job.0)
            .fetch_optional(tx.connection)?;
    Ok(found.map(|CheckpointRow(it)| ResumePoint { epoch: it.epoch, sha256: it.sha256, bytes: it.bytes }))
}

/// Whether some attempt at the job has recorded a checkpoint to resume from with this number.
pub(crate) fn is_recorded(tx: &mut Tx<'_>, job: JobId, epoch: u32) -> Result<bool, StoreError> {
    sql::query_scalar(
        "select exists (select 1 from checkpoint join attempt using (attempt_id) \
         where attempt.job_id = ? and checkpoint.role = 'resume' and checkpoint.epoch = ?)",
    )
    .bind(job.0)
    .bind(epoch)
    .fetch_one(tx.connection)
}

/// What a succeeded job has made: weights, or images.
pub(crate) fn final_of(tx: &mut Tx<'_>, job: JobId) -> Result<Option<InputArtifact>, StoreError> {
    let found: Option<CheckpointRow> = sql::query_as(
        "select checkpoint.* from checkpoint join attempt using (attempt_id) \
         where attempt.job_id = ? and attempt.outcome = 'ok' and checkpoint.role = 'final' \
         order by attempt_id desc, epoch desc limit 1",
    )
    .bind(job.0)
    .fetch_optional(tx.connection)?;
    Ok(found.map(|CheckpointRow(it)| InputArtifact { job: Some(job), sha256: it.sha256, bytes: it.bytes }))
}

/// The final weights that an attempt has recorded, and whether their file is stored.
pub(crate) fn final_by(tx: &mut Tx<'_>, attempt: AttemptId) -> Result<Option<(CheckpointRecord, bool)>, StoreError> {
    let found: Option<Kept> = sql::query_as(
        "select *, exists (select 1 from artifact where artifact.sha256 = checkpoint.sha256) as stored \
         from checkpoint where attempt_id = ? and role = 'final' order by epoch desc limit 1",
    )
    .bind(attempt.0)
    .fetch_optional(tx.connection)?;
    Ok(found.map(|Kept { checkpoint, stored }| (checkpoint.0, stored)))
}

/// Lets go of resume checkpoints older than the one that counts, and of all of jobs that have succeeded, or that have ended
/// otherwise before a time.
pub(crate) fn release_superseded(tx: &mut Tx<'_>, ended_before: i64) -> Result<u64, StoreError> {
    let released = sql::query(
        "update checkpoint set released_at = ?1 \
         where role = 'resume' and released_at is null and exists ( \
             select 1 from attempt join job on job.job_id = attempt.job_id \
             where attempt.attempt_id = checkpoint.attempt_id and ( \
                 job.state = 'succeeded' or job.ended_at < ?2 or checkpoint_id < ( \
                 select point.checkpoint_id from resume_point point where point.job_id = job.job_id \
                 order by point.epoch desc, point.checkpoint_id desc limit 1)))",
    )
    .bind(tx.now)
    .bind(ended_before)
    .execute(tx.connection)?;
    Ok(released.rows_affected)
}
