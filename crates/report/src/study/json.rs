//! A study as JSON; `schema` changes when a field changes its meaning or goes.

use rrm_recipes::{Column, PaperNumbers};
use rrm_spec::AttackSpec;
use serde_json::{Value, json};

use super::{Study, StudyRow, sheet::sheet};
use crate::{
    Accuracies, Measures, Run, SampleMean,
    json::{measurement, run as plan_row},
    runs::named,
};

pub(super) fn render(study: &Study) -> Value {
    let sheet = sheet(study);
    json!({
        "schema": 1,
        "kind": "table",
        "recipe": study.name,
        "title": study.title,
        "submission": study.submission,
        "columns": study.columns.iter().map(|column| name(*column)).collect::<Vec<_>>(),
        "attacks": study.attacks().into_iter().map(attack).collect::<Vec<_>>(),
        "rows": study.rows.iter().map(row).collect::<Vec<_>>(),
        "comparisons": study.comparisons,
        "notes": sheet.footnotes.iter().chain(&sheet.remarks).collect::<Vec<_>>(),
        "provenance": study.provenances().map(|(label, of)| json!({"row": label, "of": of})).collect::<Vec<_>>(),
    })
}

fn name(column: Column) -> &'static str {
    match column {
        Column::Epochs => "epochs",
        Column::EpochTime => "epoch-time",
        Column::TrainingTime => "training-time",
        Column::TrainingTimeWithTeacher => "training-time-with-teacher",
        Column::Natural => "natural",
        Column::Robust => "robust",
    }
}

/// An attack with the name that tables give it.
pub(crate) fn attack(attack: &AttackSpec) -> Value {
    json!({"label": named(attack), "spec": attack})
}

fn row(row: &StudyRow) -> Value {
    let mut value = measures(&row.ours);
    let fields = value.as_object_mut().expect("measures are an object");
    fields.insert("label".into(), json!(row.label));
    fields.insert("job".into(), json!(row.job));
    fields.insert("mixed".into(), json!(row.mixed));
    fields.insert("paper".into(), paper(&row.paper));
    fields.insert("speed_up".into(), json!(row.speed_up));
    fields.insert("paper_speed_up".into(), json!(row.paper_speed_up));
    value
}

/// What is known of a row or point: over its seeds, and of each seed.
pub(crate) fn measures(ours: &Measures) -> Value {
    let run = |run: &Run| {
        let mut value = plan_row(&run.row);
        let fields = value.as_object_mut().expect("a row is an object");
        // Of all attacks only the report's.
        fields.insert("robust".into(), measurement(run.robust));
        fields.insert("attack".into(), run.attack.as_ref().map_or(Value::Null, attack));
        // The one that tells it from the row's others.
        fields.insert("repetition".into(), json!(run.seed));
        fields.insert("replays".into(), json!(run.replays));
        fields.insert("lambda".into(), json!(run.lambda));
        value
    };
    json!({
        "replays": ours.replays(),
        "epochs": ours.epochs,
        "epoch_time": time(ours.epoch_time),
        "epoch_time_without_first": time(ours.epoch_time_without_first),
        "training": time(ours.training),
        "training_with_teacher": time(ours.training_with_teacher),
        "natural": accuracies(ours.natural),
        "robust": accuracies(ours.robust),
        "runs": ours.runs.iter().map(run).collect::<Vec<_>>(),
    })
}

fn time(time: Option<SampleMean>) -> Value {
    time.map_or(Value::Null, |SampleMean { n, mean, std, half_width }| {
        json!({"n": n, "mean_us": mean, "std_us": std, "half_width_us": half_width})
    })
}

fn accuracies(accuracies: Option<Accuracies>) -> Value {
    accuracies.map_or(Value::Null, |Accuracies { mean, pooled, balanced, validated }| {
        json!({
            "over_seeds": mean,
            "correct": pooled.correct,
            "total": pooled.total,
            "wilson95": pooled.wilson95(),
            "balanced": balanced,
            "validated": validated,
        })
    })
}

/// The paper's numbers, in its units.
pub(crate) fn paper(paper: &PaperNumbers) -> Value {
    let PaperNumbers { epochs, epoch_s, epoch_half_width_s, training_min, with_teacher_min, natural, robust } = paper;
    json!({
        "epochs": epochs,
        "epoch_s": epoch_s,
        "epoch_half_width_s": epoch_half_width_s,
        "training_min": training_min,
        "with_teacher_min": with_teacher_min,
        "natural_percent": natural,
        "robust_percent": robust,
    })
}
