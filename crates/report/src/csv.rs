//! Comma-separated values after RFC 4180: raw counts and microseconds, empty where there is nothing.

use std::collections::BTreeSet;

use rrm_spec::Accuracy;

use crate::{EpochTime, Made, Measurement, Row, Table, Teacher, table_sheet::attack_labels};

const NAMING: [&str; 13] = [
    "job",
    "submission",
    "name",
    "state",
    "method",
    "network",
    "dataset",
    "train_images",
    "precision",
    "seed",
    "teacher",
    "epochs_done",
    "epochs_total",
];
const TIMES: [&str; 15] = [
    "epoch_time_n",
    "epoch_time_mean_us",
    "epoch_time_std_us",
    "epoch_time_half_width_us",
    "epoch_time_without_first_n",
    "epoch_time_without_first_mean_us",
    "epoch_time_without_first_std_us",
    "epoch_time_without_first_half_width_us",
    "training_us",
    "training_with_teacher_us",
    "speed_up",
    "speed_up_with_teacher",
    "baseline_job",
    "baseline_us",
    "baseline_scaled_to_epochs",
];

/// Headings of [`origin`].
pub(crate) const ORIGIN: [&str; 5] = ["weights", "spec_sha256", "data_sha256", "code_versions", "machines"];

pub(crate) fn render(table: &Table) -> String {
    let mut lines = vec![line(header(table))];
    let rows = table.rows.iter().zip(&table.provenance);
    lines.extend(
        rows.map(|(row, of)| line(fields(row).into_iter().chain(origin(&[&of.made], &row.machines)).collect())),
    );
    lines.concat()
}

/// What networks were made of, and where.
pub(crate) fn origin(networks: &[&Made], machines: &[impl ToString]) -> [String; 5] {
    let networks = || networks.iter();
    let versions: BTreeSet<&str> =
        networks().flat_map(|of| &of.places).map(|place| place.code_version.as_str()).collect();
    [
        joined(networks().map(|of| of.weights.as_ref().map_or("", |hash| hash.as_str()))),
        joined(networks().map(|of| of.spec_sha256.as_str())),
        joined(networks().map(|of| of.data_sha256.as_ref().map_or("", |hash| hash.as_str()))),
        joined(versions.into_iter()),
        joined(machines.iter().map(ToString::to_string)),
    ]
}

/// Several values in one field.
pub(crate) fn joined(values: impl Iterator<Item = impl ToString>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(";")
}

fn header(table: &Table) -> Vec<String> {
    let mut header: Vec<String> = NAMING.map(str::to_owned).into();
    header.extend(accuracy_header("natural"));
    for (attack, ball) in attack_labels(&table.attacks) {
        header.extend(accuracy_header(&format!("{attack} {ball}")));
    }
    header.extend(TIMES.map(str::to_owned));
    header.extend(ORIGIN.map(str::to_owned));
    header
}

fn accuracy_header(prefix: &str) -> [String; 6] {
    ["correct", "total", "low", "high", "source", "balanced"].map(|field| format!("{prefix} {field}"))
}

fn fields(row: &Row) -> Vec<String> {
    let mut fields = vec![
        row.job.to_string(),
        row.submission.to_string(),
        row.name.clone(),
        row.state.to_string(),
        row.method.to_owned(),
        row.network.to_string(),
        row.dataset.name.to_string(),
        optional(row.dataset.train_images),
        row.precision.to_string(),
        row.seed.to_string(),
        teacher(row),
        row.epochs_done.to_string(),
        row.epochs_total.to_string(),
    ];
    fields.extend(accuracy(row.natural));
    fields.extend(row.robust.iter().flat_map(|robust| accuracy(*robust)));
    fields.extend(epoch_time(row.epoch_time.as_ref()));
    fields.extend(epoch_time(row.epoch_time_without_first.as_ref()));
    fields.push(optional(row.training_us));
    fields.push(optional(row.training_with_teacher_us));
    fields.extend(speed_up(row));
    fields
}

fn teacher(row: &Row) -> String {
    match &row.teacher {
        None => String::new(),
        Some(Teacher::Job { id, name }) => name.clone().unwrap_or_else(|| format!("#{id}")),
        Some(Teacher::Checkpoint(path)) => path.display().to_string(),
        Some(Teacher::Artifact(artifact)) => artifact.to_string(),
    }
}

fn accuracy(measurement: Measurement) -> [String; 6] {
    let (accuracy, source, balanced) = match measurement {
        Measurement::Measured { accuracy, source, balanced } => (accuracy, source.name().to_owned(), balanced),
        Measurement::Pending { state, .. } => return ["", "", "", "", state.name(), ""].map(str::to_owned),
        Measurement::Absent => return [const { String::new() }; 6],
    };
    let Accuracy { correct, total } = accuracy;
    let (low, high) = accuracy.wilson95().unzip();
    [correct.to_string(), total.to_string(), optional(low), optional(high), source, optional(balanced)]
}

fn epoch_time(time: Option<&EpochTime>) -> [String; 4] {
    match time {
        None => [const { String::new() }; 4],
        Some(time) => {
            [time.n.to_string(), time.mean_us.to_string(), optional(time.std_us), optional(time.half_width_us)]
        }
    }
}

fn speed_up(row: &Row) -> [String; 5] {
    match &row.speed_up {
        None => [const { String::new() }; 5],
        Some(speed_up) => [
            speed_up.without_teacher.to_string(),
            optional(speed_up.with_teacher),
            speed_up.baseline.job.to_string(),
            speed_up.baseline.training_us.to_string(),
            optional(speed_up.baseline.scaled_to_epochs),
        ],
    }
}

pub(crate) fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// One line of them.
pub(crate) fn line(fields: Vec<String>) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    quoted.join(",") + "\r\n"
}

fn quote(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_commas_and_quotes_are_quoted() {
        assert_eq!(quote("student[seed=1,lambda=0.05]"), "\"student[seed=1,lambda=0.05]\"");
        assert_eq!(quote("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quote("plain"), "plain");
    }
}
