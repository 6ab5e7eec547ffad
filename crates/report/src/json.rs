//! JSON for programs: raw counts and microseconds; `schema` changes when a field changes its meaning or goes.

use serde_json::{Value, json};

use crate::{
    Measurement, Row, Source, Table,
    table_sheet::{attack_labels, sheet},
};

pub(crate) fn render(table: &Table) -> Value {
    let sheet = sheet(table);
    let labels = attack_labels(&table.attacks);
    let attacks = table.attacks.iter().zip(&labels);
    let attacks: Vec<Value> =
        attacks.map(|(attack, (label, ball))| json!({"label": label, "ball": ball, "spec": attack})).collect();
    json!({
        "schema": 1,
        "plan": table.plan,
        "submission": table.submission,
        "attacks": attacks,
        "rows": table.rows.iter().map(run).collect::<Vec<_>>(),
        "provenance": table.provenances().map(|(name, of)| json!({"row": name, "of": of})).collect::<Vec<_>>(),
        "notes": sheet.footnotes.iter().chain(&sheet.remarks).collect::<Vec<_>>(),
    })
}

/// One trained network.
pub(crate) fn run(row: &Row) -> Value {
    json!({
        "job": row.job,
        "submission": row.submission,
        "name": row.name,
        "state": row.state,
        "reason": row.reason,
        "method": row.method,
        "training_attack": row.training_attack,
        "network": row.network,
        "dataset": row.dataset,
        "precision": row.precision,
        "seed": row.seed,
        "teacher": row.teacher,
        "is_fine_tuning": row.is_fine_tuning,
        "epochs_done": row.epochs_done,
        "epochs_total": row.epochs_total,
        "natural": measurement(row.natural),
        "robust": row.robust.iter().map(|robust| measurement(*robust)).collect::<Vec<_>>(),
        "epoch_us": row.epoch_us,
        "epoch_time": row.epoch_time,
        "epoch_time_without_first": row.epoch_time_without_first,
        "training_us": row.training_us,
        "training_with_teacher_us": row.training_with_teacher_us,
        "speed_up": row.speed_up,
        "machines": row.machines,
    })
}

/// An accuracy, or where its evaluation stands.
pub(crate) fn measurement(measurement: Measurement) -> Value {
    match measurement {
        Measurement::Absent => Value::Null,
        Measurement::Pending { job, state } => json!({"job": job, "state": state}),
        Measurement::Measured { accuracy, source, balanced } => {
            let job = match source {
                Source::Evaluation(job) => Some(job),
                Source::Validation => None,
            };
            json!({
                "correct": accuracy.correct,
                "total": accuracy.total,
                "wilson95": accuracy.wilson95(),
                "balanced": balanced,
                "source": source.name(),
                "job": job,
            })
        }
    }
}
