//! What evaluations have measured besides.

use rrm_spec::{AttemptId, Diagnostic, DiagnosticsRecord, JobId, ParseIdError};
use rusqlite::{Connection, Row};

use crate::epoch::count;
use crate::sql::FromRow;
use crate::{StoreError, Tx, names, sql};

/// Without its numbers.
struct DiagnosisRow {
    attempt: AttemptId,
    record: DiagnosticsRecord,
}

impl FromRow for DiagnosisRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let weights = sql::text(row, "weights")?.parse();
        let record = DiagnosticsRecord {
            weights: weights.map_err(|e: ParseIdError| StoreError::internal(e))?,
            threat: serde_json::from_str(sql::text(row, "threat")?)?,
            elapsed_us: count(row, "elapsed_us")?,
            numbers: Vec::new(),
        };
        Ok(Self { attempt: AttemptId(row.get("attempt_id")?), record })
    }
}

/// Whether it is new; what an attempt has told before is left as it is.
pub(crate) fn insert(tx: &mut Tx<'_>, attempt: AttemptId, record: &DiagnosticsRecord) -> Result<bool, StoreError> {
    let inserted = sql::query(
        "insert into diagnosis (attempt_id, weights, threat, elapsed_us, recorded_at) values (?, ?, ?, ?, ?) \
         on conflict do nothing",
    )
    .bind(attempt.0)
    .bind(record.weights.as_str())
    .bind(serde_json::to_string(&record.threat)?)
    .bind(names::signed(record.elapsed_us, "elapsed_us")?)
    .bind(tx.now)
    .execute(tx.connection)?;
    let is_new = inserted.rows_affected == 1;
    if is_new {
        insert_numbers(tx, attempt, &record.numbers)?;
    }
    Ok(is_new)
}

fn insert_numbers(tx: &mut Tx<'_>, attempt: AttemptId, numbers: &[Diagnostic]) -> Result<(), StoreError> {
    for (position, Diagnostic { name, value, detail }) in (0i64..).zip(numbers) {
        sql::query("insert into diagnostic (attempt_id, position, name, value, detail) values (?, ?, ?, ?, ?)")
            .bind(attempt.0)
            .bind(position)
            .bind(name)
            .bind(value)
            .bind(detail)
            .execute(tx.connection)?;
    }
    Ok(())
}

pub(crate) fn get(connection: &Connection, attempt: AttemptId) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let found: Option<DiagnosisRow> =
        sql::query_as("select * from diagnosis where attempt_id = ?").bind(attempt.0).fetch_optional(connection)?;
    with_numbers(connection, found)
}

/// Of the job's newest attempt that has told any.
pub(crate) fn of_job(connection: &Connection, job: JobId) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let found: Option<DiagnosisRow> = sql::query_as(
        "select diagnosis.* from diagnosis join attempt using (attempt_id) where job_id = ? \
         order by attempt_id desc limit 1",
    )
    .bind(job.0)
    .fetch_optional(connection)?;
    with_numbers(connection, found)
}

fn with_numbers(connection: &Connection, found: Option<DiagnosisRow>) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let Some(DiagnosisRow { attempt, record }) = found else { return Ok(None) };
    let numbers: Vec<(String, f64, String)> =
        sql::query_as("select name, value, detail from diagnostic where attempt_id = ? order by position")
            .bind(attempt.0)
            .fetch_all(connection)?;
    let number = |(name, value, detail)| Diagnostic { name, value, detail };
    Ok(Some(DiagnosticsRecord { numbers: numbers.into_iter().map(number).collect(), ..record }))
}
