//! Epochs as their attempts recorded them. Which of them count is the view `epoch_current`'s to say.

use rrm_spec::{Accuracy, AttemptId, EpochRecord, JobId};
use rusqlite::{Connection, Row};

use crate::sql::FromRow;
use crate::{StoreError, Tx, names, sql};

pub(crate) struct EpochRow(pub(crate) EpochRecord);

impl FromRow for EpochRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let robust = match row.get::<_, Option<i64>>("robust_total")? {
            Some(_) => Some(accuracy(row, "robust_correct", "robust_total")?),
            None => None,
        };
        Ok(Self(EpochRecord {
            epoch: row.get("epoch")?,
            train_us: count(row, "train_us")?,
            validation_us: count(row, "validation_us")?,
            images: count(row, "images")?,
            learning_rate: row.get("learning_rate")?,
            loss: row.get("loss")?,
            train: accuracy(row, "train_correct", "train_total")?,
            natural: accuracy(row, "natural_correct", "natural_total")?,
            robust,
        }))
    }
}

/// Reads a count that is stored as a signed integer.
pub(crate) fn count(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    names::unsigned(row.get(column)?).map_err(StoreError::internal)
}

pub(crate) fn accuracy(row: &Row<'_>, correct: &str, total: &str) -> Result<Accuracy, StoreError> {
    Ok(Accuracy { correct: count(row, correct)?, total: count(row, total)? })
}

/// Whether it is new; an epoch that the attempt has recorded is left as it is.
pub(crate) fn insert(tx: &mut Tx<'_>, attempt: AttemptId, record: &EpochRecord) -> Result<bool, StoreError> {
    let count = |value: u64| names::signed(value, "epoch");
    let inserted = sql::query(
        "insert into epoch (attempt_id, epoch, recorded_at, train_us, validation_us, images, learning_rate, loss, \
             train_correct, train_total, natural_correct, natural_total, robust_correct, robust_total) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    )
    .bind(attempt.0)
    .bind(record.epoch)
    .bind(tx.now)
    .bind(count(record.train_us)?)
    .bind(count(record.validation_us)?)
    .bind(count(record.images)?)
    .bind(record.learning_rate)
    .bind(record.loss)
    .bind(count(record.train.correct)?)
    .bind(count(record.train.total)?)
    .bind(count(record.natural.correct)?)
    .bind(count(record.natural.total)?)
    .bind(record.robust.map(|it| count(it.correct)).transpose()?)
    .bind(record.robust.map(|it| count(it.total)).transpose()?)
    .execute(tx.connection)?;
    Ok(inserted.rows_affected == 1)
}

pub(crate) fn get(tx: &mut Tx<'_>, attempt: AttemptId, epoch: u32) -> Result<EpochRecord, StoreError> {
    let found: EpochRow = sql::query_as("select * from epoch where attempt_id = ? and epoch = ?")
        .bind(attempt.0)
        .bind(epoch)
        .fetch_one(tx.connection)?;
    Ok(found.0)
}

/// The attempt's last epoch.
pub(crate) fn last(tx: &mut Tx<'_>, attempt: AttemptId) -> Result<Option<u32>, StoreError> {
    sql::query_scalar("select max(epoch) from epoch where attempt_id = ?").bind(attempt.0).fetch_one(tx.connection)
}

pub(crate) fn is_current(tx: &mut Tx<'_>, job: JobId, epoch: u32) -> Result<bool, StoreError> {
    sql::query_scalar("select exists (select 1 from epoch_current where job_id = ? and epoch = ?)")
        .bind(job.0)
        .bind(epoch)
        .fetch_one(tx.connection)
}

/// How many epochs of the job count.
pub(crate) fn count_current(tx: &mut Tx<'_>, job: JobId) -> Result<u32, StoreError> {
    sql::query_scalar("select count(*) from epoch_current where job_id = ?").bind(job.0).fetch_one(tx.connection)
}

/// The job's epochs that count, in order.
pub(crate) fn current(connection: &Connection, job: JobId) -> Result<Vec<EpochRecord>, StoreError> {
    let found: Vec<EpochRow> = sql::query_as(
        "select epoch.* from epoch_current join epoch using (attempt_id, epoch) where job_id = ? order by epoch",
    )
    .bind(job.0)
    .fetch_all(connection)?;
    Ok(found.into_iter().map(|EpochRow(record)| record).collect())
}
