//! What evaluations have measured besides.

use rrm_spec::{AttemptId, Diagnostic, DiagnosticsRecord, JobId, ParseIdError};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection};

use crate::epoch::count;
use crate::{StoreError, Tx, names};

/// Without its numbers.
struct DiagnosisRow {
    attempt: AttemptId,
    record: DiagnosticsRecord,
}

impl FromRow<'_, SqliteRow> for DiagnosisRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let weights = row.try_get::<&str, _>("weights")?.parse();
        let record = DiagnosticsRecord {
            weights: weights.map_err(|e: ParseIdError| sqlx::Error::Decode(e.into()))?,
            threat: serde_json::from_str(row.try_get("threat")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
            elapsed_us: count(row, "elapsed_us")?,
            numbers: Vec::new(),
        };
        Ok(Self { attempt: AttemptId(row.try_get("attempt_id")?), record })
    }
}

/// Whether it is new; what an attempt has told before is left as it is.
pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    record: &DiagnosticsRecord,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "insert into diagnosis (attempt_id, weights, threat, elapsed_us, recorded_at) values (?, ?, ?, ?, ?) \
         on conflict do nothing",
    )
    .bind(attempt.0)
    .bind(record.weights.as_str())
    .bind(serde_json::to_string(&record.threat)?)
    .bind(names::signed(record.elapsed_us, "elapsed_us")?)
    .bind(tx.now)
    .execute(&mut *tx.connection)
    .await?;
    let is_new = inserted.rows_affected() == 1;
    if is_new {
        insert_numbers(tx, attempt, &record.numbers).await?;
    }
    Ok(is_new)
}

async fn insert_numbers(tx: &mut Tx<'_>, attempt: AttemptId, numbers: &[Diagnostic]) -> Result<(), StoreError> {
    for (position, Diagnostic { name, value, detail }) in (0i64..).zip(numbers) {
        sqlx::query("insert into diagnostic (attempt_id, position, name, value, detail) values (?, ?, ?, ?, ?)")
            .bind(attempt.0)
            .bind(position)
            .bind(name)
            .bind(value)
            .bind(detail)
            .execute(&mut *tx.connection)
            .await?;
    }
    Ok(())
}

pub(crate) async fn get(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let found: Option<DiagnosisRow> = sqlx::query_as("select * from diagnosis where attempt_id = ?")
        .bind(attempt.0)
        .fetch_optional(&mut *connection)
        .await?;
    with_numbers(connection, found).await
}

/// Of the job's newest attempt that has told any.
pub(crate) async fn of_job(
    connection: &mut SqliteConnection,
    job: JobId,
) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let found: Option<DiagnosisRow> = sqlx::query_as(
        "select diagnosis.* from diagnosis join attempt using (attempt_id) where job_id = ? \
         order by attempt_id desc limit 1",
    )
    .bind(job.0)
    .fetch_optional(&mut *connection)
    .await?;
    with_numbers(connection, found).await
}

async fn with_numbers(
    connection: &mut SqliteConnection,
    found: Option<DiagnosisRow>,
) -> Result<Option<DiagnosticsRecord>, StoreError> {
    let Some(DiagnosisRow { attempt, record }) = found else { return Ok(None) };
    let numbers: Vec<(String, f64, String)> =
        sqlx::query_as("select name, value, detail from diagnostic where attempt_id = ? order by position")
            .bind(attempt.0)
            .fetch_all(connection)
            .await?;
    let number = |(name, value, detail)| Diagnostic { name, value, detail };
    Ok(Some(DiagnosticsRecord { numbers: numbers.into_iter().map(number).collect(), ..record }))
}
