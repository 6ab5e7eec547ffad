//! Evaluations, and what became of each image.

use rrm_spec::{Accuracy, AttemptId, ClassAccuracy, EvaluationRecord, ImageOutcome, JobId, Outcome, ParseIdError};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection};

use crate::epoch::{accuracy, count};
use crate::{Store, StoreError, Tx, names};

/// Without images and classes.
struct EvaluationRow {
    evaluation_id: i64,
    record: EvaluationRecord,
}

impl FromRow<'_, SqliteRow> for EvaluationRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let attack = serde_json::from_str(row.try_get("attack")?).map_err(|e| sqlx::Error::Decode(e.into()))?;
        let weights = row.try_get::<&str, _>("weights")?.parse();
        let record = EvaluationRecord {
            attack,
            natural: accuracy(row, "natural_correct", "natural_total")?,
            robust: accuracy(row, "robust_correct", "robust_total")?,
            elapsed_us: count(row, "elapsed_us")?,
            weights: weights.map_err(|e: ParseIdError| sqlx::Error::Decode(e.into()))?,
            images: Vec::new(),
            classes: Vec::new(),
        };
        Ok(Self { evaluation_id: row.try_get("evaluation_id")?, record })
    }
}

/// Whether it is new; an attempt's earlier evaluation by the same attack is left as it is.
pub(crate) async fn insert(tx: &mut Tx<'_>, attempt: AttemptId, record: &EvaluationRecord) -> Result<bool, StoreError> {
    let count = |value: u64| names::signed(value, "evaluation");
    let threat = record.attack.threat();
    let (natural, robust) = (record.natural.wilson95(), record.robust.wilson95());
    let inserted = sqlx::query(
        "insert into evaluation (attempt_id, attack, label, norm, epsilon, epsilon_value, natural_correct, \
             natural_total, robust_correct, robust_total, natural_low, natural_high, robust_low, robust_high, \
             elapsed_us, weights, recorded_at) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    )
    .bind(attempt.0)
    .bind(serde_json::to_string(&record.attack)?)
    .bind(record.attack.label())
    .bind(names::norm_name(threat.norm))
    .bind(threat.epsilon.to_string())
    .bind(threat.epsilon.value())
    .bind(count(record.natural.correct)?)
    .bind(count(record.natural.total)?)
    .bind(count(record.robust.correct)?)
    .bind(count(record.robust.total)?)
    .bind(natural.map(|(low, _)| low))
    .bind(natural.map(|(_, high)| high))
    .bind(robust.map(|(low, _)| low))
    .bind(robust.map(|(_, high)| high))
    .bind(count(record.elapsed_us)?)
    .bind(record.weights.as_str())
    .bind(tx.now)
    .execute(&mut *tx.connection)
    .await?;
    let is_new = inserted.rows_affected() == 1;
    if is_new {
        insert_images(tx, inserted.last_insert_rowid(), &record.images).await?;
    }
    Ok(is_new)
}

/// One statement for all images: ten thousand of them take some hundredths of a second this way.
async fn insert_images(tx: &mut Tx<'_>, evaluation: i64, images: &[ImageOutcome]) -> Result<(), StoreError> {
    let rows: Vec<_> = images.iter().map(image_row).collect();
    sqlx::query(
        "insert into image_outcome (evaluation_id, image, label, prediction, outcome, restart) \
         select ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from json_each(?)",
    )
    .bind(evaluation)
    .bind(serde_json::to_string(&rows)?)
    .execute(&mut *tx.connection)
    .await?;
    Ok(())
}

fn image_row(image: &ImageOutcome) -> (u32, u32, u32, &'static str, Option<u32>) {
    let (outcome, restart) = match image.outcome {
        Outcome::Misclassified => ("misclassified", None),
        Outcome::Broken { restart } => ("broken", Some(restart)),
        Outcome::Robust => ("robust", None),
    };
    (image.image, image.label, image.prediction, outcome, restart)
}

pub(crate) async fn get(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    like: &EvaluationRecord,
) -> Result<EvaluationRecord, StoreError> {
    let found: EvaluationRow = sqlx::query_as("select * from evaluation where attempt_id = ? and attack = ?")
        .bind(attempt.0)
        .bind(serde_json::to_string(&like.attack)?)
        .fetch_one(&mut *tx.connection)
        .await?;
    with_classes(&mut *tx.connection, found).await
}

/// Evaluations that the attempt has told.
pub(crate) async fn told_by(tx: &mut Tx<'_>, attempt: AttemptId) -> Result<u64, StoreError> {
    let found: i64 = sqlx::query_scalar("select count(*) from evaluation where attempt_id = ?")
        .bind(attempt.0)
        .fetch_one(&mut *tx.connection)
        .await?;
    names::unsigned(found)
}

/// The evaluations of the job's newest attempt that has any, without images.
pub(crate) async fn of_job(connection: &mut SqliteConnection, job: JobId) -> Result<Vec<EvaluationRecord>, StoreError> {
    let found: Vec<EvaluationRow> = sqlx::query_as(
        "select evaluation.* from evaluation where attempt_id = ( \
             select max(attempt_id) from evaluation join attempt using (attempt_id) where job_id = ?) \
         order by evaluation_id",
    )
    .bind(job.0)
    .fetch_all(&mut *connection)
    .await?;
    let mut records = Vec::with_capacity(found.len());
    for row in found {
        records.push(with_classes(connection, row).await?);
    }
    Ok(records)
}

/// Classes are counted from the images, so that the two cannot differ.
async fn with_classes(connection: &mut SqliteConnection, row: EvaluationRow) -> Result<EvaluationRecord, StoreError> {
    let EvaluationRow { evaluation_id, record } = row;
    let counts: Vec<(u32, i64, i64, i64)> = sqlx::query_as(
        "select label, total, natural_correct, robust_correct from class_accuracy where evaluation_id = ? order by label",
    )
    .bind(evaluation_id)
    .fetch_all(connection)
    .await?;
    let class = |(label, total, natural, robust): (u32, i64, i64, i64)| ClassAccuracy {
        label,
        natural: Accuracy { correct: natural as u64, total: total as u64 },
        robust: Accuracy { correct: robust as u64, total: total as u64 },
    };
    Ok(EvaluationRecord { classes: counts.into_iter().map(class).collect(), ..record })
}

impl Store {
    /// The outcome of each image in a job's newest evaluation, by position in the test set.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn images(&self, job: JobId) -> Result<Vec<ImageOutcome>, StoreError> {
        let found: Vec<(u32, u32, u32, String, Option<u32>)> = sqlx::query_as(
            "select image, label, prediction, image_outcome.outcome, restart from image_outcome \
             where evaluation_id = ( \
                 select max(evaluation_id) from evaluation join attempt using (attempt_id) where job_id = ?) \
             order by image",
        )
        .bind(job.0)
        .fetch_all(&self.readers)
        .await?;
        found.into_iter().map(image_outcome).collect()
    }
}

fn image_outcome(
    (image, label, prediction, outcome, restart): (u32, u32, u32, String, Option<u32>),
) -> Result<ImageOutcome, StoreError> {
    let outcome = match (outcome.as_str(), restart) {
        ("misclassified", None) => Outcome::Misclassified,
        ("broken", Some(restart)) => Outcome::Broken { restart },
        ("robust", None) => Outcome::Robust,
        other => return Err(StoreError::internal(format!("unknown outcome {other:?}"))),
    };
    Ok(ImageOutcome { image, label, prediction, outcome, closest: None })
}
