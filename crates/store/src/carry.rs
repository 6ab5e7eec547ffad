//! What a retried job takes over from the job that it does again.
//!
//! Its first attempt is made of what was recorded of the earlier job up to the checkpoint, without a worker: so that the new job's
//! epochs run from 1 without a gap, its times are complete, and the file is kept for as long as it is needed.

use rrm_spec::{AttemptId, JobId};

use crate::{StoreError, Tx, sql};

/// Names no request: no worker's may have brackets.
const NO_REQUEST: &str = "(carried over)";

/// Takes over epochs and checkpoint; tells the last epoch that need not be trained again, 0 where no checkpoint is kept.
pub(crate) fn carry_over(tx: &mut Tx<'_>, from: JobId, to: JobId) -> Result<u32, StoreError> {
    let Some((checkpoint, source, epoch)) = newest_checkpoint(tx, from)? else { return Ok(0) };
    let attempt = insert_attempt(tx, from, to, source)?;
    copy_epochs(tx, from, attempt, epoch)?;
    copy_checkpoint(tx, checkpoint, attempt)?;
    Ok(epoch)
}

fn newest_checkpoint(tx: &mut Tx<'_>, job: JobId) -> Result<Option<(i64, AttemptId, u32)>, StoreError> {
    let found: Option<(i64, i64, u32)> = sql::query_as(
        "select checkpoint_id, attempt_id, epoch from resume_point where job_id = ? \
         order by epoch desc, checkpoint_id desc limit 1",
    )
    .bind(job.0)
    .fetch_optional(tx.connection)?;
    Ok(found.map(|(checkpoint, attempt, epoch)| (checkpoint, AttemptId(attempt), epoch)))
}

/// It took no time, so that nobody's use of a device is counted twice.
fn insert_attempt(tx: &mut Tx<'_>, from: JobId, to: JobId, source: AttemptId) -> Result<AttemptId, StoreError> {
    let inserted = sql::query(
        "insert into attempt (job_id, number, worker_id, device, lease_request, started_at, ended_at, outcome, message, \
             run_device, run_threads, code_version, parameters, first_epoch, data_sha256, spec_sha256) \
         select ?1, 1, worker_id, device, ?2, ?3, ?3, 'stopped', ?4, \
             run_device, run_threads, code_version, parameters, 1, data_sha256, spec_sha256 \
         from attempt where attempt_id = ?5",
    )
    .bind(to.0)
    .bind(NO_REQUEST)
    .bind(tx.now)
    .bind(format!("carried over from attempt {source} of job {from}"))
    .bind(source.0)
    .execute(tx.connection)?;
    Ok(AttemptId(inserted.last_insert_rowid))
}

fn copy_epochs(tx: &mut Tx<'_>, from: JobId, to: AttemptId, last: u32) -> Result<(), StoreError> {
    sql::query(
        "insert into epoch (attempt_id, epoch, recorded_at, train_us, validation_us, images, learning_rate, loss, \
             train_correct, train_total, natural_correct, natural_total, robust_correct, robust_total) \
         select ?1, epoch.epoch, epoch.recorded_at, epoch.train_us, epoch.validation_us, epoch.images, epoch.learning_rate, \
             epoch.loss, epoch.train_correct, epoch.train_total, epoch.natural_correct, epoch.natural_total, \
             epoch.robust_correct, epoch.robust_total \
         from epoch_current join epoch using (attempt_id, epoch) \
         where epoch_current.job_id = ?2 and epoch.epoch <= ?3",
    )
    .bind(to.0)
    .bind(from.0)
    .bind(last)
    .execute(tx.connection)?;
    Ok(())
}

fn copy_checkpoint(tx: &mut Tx<'_>, checkpoint: i64, to: AttemptId) -> Result<(), StoreError> {
    sql::query(
        "insert into checkpoint (attempt_id, epoch, role, path, sha256, bytes, recorded_at) \
         select ?, epoch, role, path, sha256, bytes, recorded_at from checkpoint where checkpoint_id = ?",
    )
    .bind(to.0)
    .bind(checkpoint)
    .execute(tx.connection)?;
    Ok(())
}
