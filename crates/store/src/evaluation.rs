//! Evaluations, and what became of each image.

use rrm_spec::{
    Accuracy, AttackSpec, AttemptId, Audit, ClassAccuracy, ClosestPoint, EvaluationRecord, ImageOutcome, JobId,
    Outcome, ParseIdError,
};
use rusqlite::{Connection, Row};

use crate::epoch::{accuracy, count};
use crate::sql::FromRow;
use crate::{Store, StoreError, Tx, names, sql};

/// Most images in one page.
const PAGE: u32 = 1000;

/// The outcomes of some images of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagesPage {
    /// Which of the job's evaluations, counted from 0.
    pub evaluation: u32,
    /// That evaluation's attack.
    pub attack: AttackSpec,
    /// In the order of the test set; never empty.
    pub images: Vec<ImageOutcome>,
}

/// Without images and classes.
struct EvaluationRow {
    evaluation_id: i64,
    record: EvaluationRecord,
}

impl FromRow for EvaluationRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let attack = serde_json::from_str(sql::text(row, "attack")?)?;
        let weights = sql::text(row, "weights")?.parse();
        let record = EvaluationRecord {
            attack,
            natural: accuracy(row, "natural_correct", "natural_total")?,
            robust: accuracy(row, "robust_correct", "robust_total")?,
            elapsed_us: count(row, "elapsed_us")?,
            weights: weights.map_err(|e: ParseIdError| StoreError::internal(e))?,
            images: Vec::new(),
            classes: Vec::new(),
            audit: audit(row)?,
        };
        Ok(Self { evaluation_id: row.get("evaluation_id")?, record })
    }
}

fn audit(row: &Row<'_>) -> Result<Option<Audit>, StoreError> {
    let Some(largest_change) = row.get("largest_change")? else { return Ok(None) };
    Ok(Some(Audit {
        largest_change,
        outside_box: count(row, "outside_box")?,
        not_finite: count(row, "not_finite")?,
        recounted: accuracy(row, "recounted_correct", "robust_total")?,
        rounded: accuracy(row, "rounded_correct", "robust_total")?,
    }))
}

/// Whether it is new; an attempt's earlier evaluation by the same attack is left as it is.
pub(crate) fn insert(tx: &mut Tx<'_>, attempt: AttemptId, record: &EvaluationRecord) -> Result<bool, StoreError> {
    let count = |value: u64| names::signed(value, "evaluation");
    let threat = record.attack.threat();
    let (natural, robust) = (record.natural.wilson95(), record.robust.wilson95());
    let inserted = sql::query(
        "insert into evaluation (attempt_id, attack, label, norm, epsilon, epsilon_value, natural_correct, \
             natural_total, robust_correct, robust_total, natural_low, natural_high, robust_low, robust_high, \
             elapsed_us, weights, recorded_at, largest_change, outside_box, not_finite, recounted_correct, \
             rounded_correct) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
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
    .bind(record.audit.map(|audit| audit.largest_change))
    .bind(record.audit.map(|audit| count(audit.outside_box)).transpose()?)
    .bind(record.audit.map(|audit| count(audit.not_finite)).transpose()?)
    .bind(record.audit.map(|audit| count(audit.recounted.correct)).transpose()?)
    .bind(record.audit.map(|audit| count(audit.rounded.correct)).transpose()?)
    .execute(tx.connection)?;
    let is_new = inserted.rows_affected == 1;
    if is_new {
        let evaluation = inserted.last_insert_rowid;
        insert_parts(tx, evaluation, &record.attack)?;
        insert_images(tx, evaluation, &record.images)?;
    }
    Ok(is_new)
}

fn insert_parts(tx: &mut Tx<'_>, evaluation: i64, attack: &AttackSpec) -> Result<(), StoreError> {
    let labels: Vec<String> = attack.parts().iter().map(AttackSpec::label).collect();
    sql::query("insert into evaluation_part (evaluation_id, part, label) select ?, key, value from json_each(?)")
        .bind(evaluation)
        .bind(serde_json::to_string(&labels)?)
        .execute(tx.connection)?;
    Ok(())
}

/// One statement for all images: ten thousand of them take some hundredths of a second this way.
fn insert_images(tx: &mut Tx<'_>, evaluation: i64, images: &[ImageOutcome]) -> Result<(), StoreError> {
    let rows: Vec<_> = images.iter().map(image_row).collect();
    sql::query(
        "insert into image_outcome (evaluation_id, image, label, prediction, outcome, restart, part, iteration, loss, margin) \
         select ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
             value ->> 7, value ->> 8 \
         from json_each(?)",
    )
    .bind(evaluation)
    .bind(serde_json::to_string(&rows)?)
    .execute(tx.connection)?;
    Ok(())
}

/// As the database has it: image, label, prediction, outcome, restart, part, iteration, loss, margin.
type ImageRow<Text> = (u32, u32, u32, Text, Option<u32>, Option<u32>, Option<u32>, Option<f64>, Option<f64>);

fn image_row(image: &ImageOutcome) -> ImageRow<&'static str> {
    let (outcome, restart) = match image.outcome {
        Outcome::Misclassified => ("misclassified", None),
        Outcome::Broken { restart } => ("broken", Some(restart)),
        Outcome::Robust => ("robust", None),
    };
    let (part, iteration, loss, margin) = match image.closest {
        None => (None, None, None, None),
        Some(ClosestPoint { part, iteration, loss, margin }) => (Some(part), iteration, Some(loss), Some(margin)),
    };
    (image.image, image.label, image.prediction, outcome, restart, part, iteration, loss, margin)
}

pub(crate) fn get(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    like: &EvaluationRecord,
) -> Result<EvaluationRecord, StoreError> {
    let found: EvaluationRow = sql::query_as("select * from evaluation where attempt_id = ? and attack = ?")
        .bind(attempt.0)
        .bind(serde_json::to_string(&like.attack)?)
        .fetch_one(tx.connection)?;
    with_classes(tx.connection, found)
}

/// Evaluations that the attempt has told.
pub(crate) fn told_by(tx: &mut Tx<'_>, attempt: AttemptId) -> Result<u64, StoreError> {
    let found: i64 = sql::query_scalar("select count(*) from evaluation where attempt_id = ?")
        .bind(attempt.0)
        .fetch_one(tx.connection)?;
    names::unsigned(found)
}

/// The evaluations of the job's newest attempt that has any, without images.
pub(crate) fn of_job(connection: &Connection, job: JobId) -> Result<Vec<EvaluationRecord>, StoreError> {
    let found: Vec<EvaluationRow> = sql::query_as(
        "select evaluation.* from evaluation where attempt_id = ( \
             select max(attempt_id) from evaluation join attempt using (attempt_id) where job_id = ?) \
         order by evaluation_id",
    )
    .bind(job.0)
    .fetch_all(connection)?;
    let mut records = Vec::with_capacity(found.len());
    for row in found {
        records.push(with_classes(connection, row)?);
    }
    Ok(records)
}

/// Classes are counted from the images, so that the two cannot differ.
fn with_classes(connection: &Connection, row: EvaluationRow) -> Result<EvaluationRecord, StoreError> {
    let EvaluationRow { evaluation_id, record } = row;
    let counts: Vec<(u32, i64, i64, i64)> = sql::query_as(
        "select label, total, natural_correct, robust_correct from class_accuracy where evaluation_id = ? order by label",
    )
    .bind(evaluation_id)
    .fetch_all(connection)?;
    let class = |(label, total, natural, robust): (u32, i64, i64, i64)| ClassAccuracy {
        label,
        natural: Accuracy { correct: natural as u64, total: total as u64 },
        robust: Accuracy { correct: robust as u64, total: total as u64 },
    };
    Ok(EvaluationRecord { classes: counts.into_iter().map(class).collect(), ..record })
}

impl Store {
    /// The next outcomes of images of the job's newest attempt that has any: of its evaluation number `evaluation` (from 0) those
    /// behind the image `after`, and where there are none the first of the evaluations that follow; `None` at the end.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn images(
        &self,
        job: JobId,
        evaluation: u32,
        after: Option<u32>,
    ) -> Result<Option<ImagesPage>, StoreError> {
        // One transaction, so that a page is of the evaluation that it says.
        self.readers
            .at_one_moment(move |reader| {
                let evaluations: Vec<(i64, String)> = sql::query_as(
                    "select evaluation_id, attack from evaluation where attempt_id = ( \
                 select max(attempt_id) from evaluation join attempt using (attempt_id) where job_id = ?) \
             order by evaluation_id limit -1 offset ?",
                )
                .bind(job.0)
                .bind(evaluation)
                .fetch_all(reader)?;
                let mut after = after;
                for (evaluation, (id, attack)) in (evaluation..).zip(evaluations) {
                    let images = images_behind(reader, id, after.take())?;
                    if !images.is_empty() {
                        return Ok(Some(ImagesPage { evaluation, attack: serde_json::from_str(&attack)?, images }));
                    }
                }
                Ok(None)
            })
            .await
    }
}

fn images_behind(
    connection: &Connection,
    evaluation: i64,
    after: Option<u32>,
) -> Result<Vec<ImageOutcome>, StoreError> {
    let found: Vec<ImageRow<String>> = sql::query_as(
        "select image, label, prediction, outcome, restart, part, iteration, loss, margin from image_outcome \
         where evaluation_id = ? and image > ? order by image limit ?",
    )
    .bind(evaluation)
    .bind(after.map_or(-1, i64::from))
    .bind(PAGE)
    .fetch_all(connection)?;
    found.into_iter().map(image_outcome).collect()
}

fn image_outcome(
    (image, label, prediction, outcome, restart, part, iteration, loss, margin): ImageRow<String>,
) -> Result<ImageOutcome, StoreError> {
    let outcome = match (outcome.as_str(), restart) {
        ("misclassified", None) => Outcome::Misclassified,
        ("broken", Some(restart)) => Outcome::Broken { restart },
        ("robust", None) => Outcome::Robust,
        other => return Err(StoreError::internal(format!("unknown outcome {other:?}"))),
    };
    let closest = match (part, loss, margin) {
        (Some(part), Some(loss), Some(margin)) => Some(ClosestPoint { part, iteration, loss, margin }),
        // A check of the table holds the three together.
        _ => None,
    };
    Ok(ImageOutcome { image, label, prediction, outcome, closest })
}
