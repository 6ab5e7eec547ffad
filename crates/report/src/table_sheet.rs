//! A plan's table, laid out.

use std::collections::{BTreeMap, BTreeSet};

use rrm_spec::{AttackSpec, JobState};
use serde_json::Value;

use crate::{
    Baseline, Comparable, EpochTime, Measurement, Row, Source, Table, Teacher,
    number::{TimeUnit, interval, percent, percent_of, ratio, second_digits},
    sheet::{Cell, Content, Footnotes, Header, Sheet, SheetRow, header},
};

/// Name, method, network and teacher.
pub(crate) const NAMING_COLUMNS: usize = 4;

/// Lays a table out.
pub(crate) fn sheet(table: &Table) -> Sheet {
    let units = Units::of(table);
    let mut footnotes = Footnotes::default();
    let rows = table.rows.iter().map(|row| SheetRow::apart(cells(row, units, &mut footnotes))).collect();
    let told = general_remarks(table).into_iter().chain(label_remarks(&table.attacks));
    let remarks = told.chain(table.remarks.iter().cloned()).collect();
    let headers = headers(table, units);
    Sheet { naming: NAMING_COLUMNS, content: Content::Numbers, headers, rows, footnotes: footnotes.0, remarks }
}

/// Units and digits that hold for whole columns.
#[derive(Clone, Copy)]
struct Units {
    total: TimeUnit,
    epoch_digits: usize,
}

impl Units {
    fn of(table: &Table) -> Self {
        let totals = table.rows.iter().filter_map(|row| row.training_with_teacher_us.or(row.training_us));
        let shortest = table.rows.iter().filter_map(|row| Some(row.epoch_time.as_ref()?.mean_us));
        Self {
            total: TimeUnit::for_longest(totals.map(|time| time as f64)),
            epoch_digits: second_digits(shortest.fold(f64::INFINITY, f64::min)),
        }
    }
}

fn headers(table: &Table, units: Units) -> Vec<Header> {
    let total = units.total.symbol();
    let mut headers = vec![header(["name"]), header(["method"]), header(["network"]), header(["teacher"])];
    headers.push(header(["epochs"]));
    headers.push(header(["natural", "accuracy, %"]));
    headers.extend(attack_labels(&table.attacks).into_iter().map(|(attack, ball)| {
        if ball.is_empty() { header([attack.as_str(), "%"]) } else { header([attack.as_str(), &format!("{ball}, %")]) }
    }));
    headers.push(header(["epoch", "time, s"]));
    headers.push(header(["training", &format!("time, {total}")]));
    headers.push(header(["… with", "teacher"]));
    headers.push(header(["speed-up"]));
    headers.push(header(["… with", "teacher"]));
    headers
}

/// (attack and effort, ball) of each attack; a number tells apart those that differ in finer parameters alone.
pub(crate) fn attack_labels(attacks: &[AttackSpec]) -> Vec<(String, String)> {
    let labels: Vec<_> = attacks.iter().map(attack_label).collect();
    let same_before = |index: usize| labels[..index].iter().filter(|label| **label == labels[index]).count();
    let numbered = labels.iter().enumerate().map(|(index, (attack, ball))| match same_before(index) {
        0 => (attack.clone(), ball.clone()),
        before => (format!("{attack} ({})", before + 1), ball.clone()),
    });
    numbered.collect()
}

/// The same in one text each, such as `PGD 3x1 (2), linf 8/255`.
pub(crate) fn attack_names(attacks: &[AttackSpec]) -> Vec<String> {
    attack_labels(attacks).into_iter().map(|(attack, ball)| format!("{attack}, {ball}")).collect()
}

fn attack_label(attack: &AttackSpec) -> (String, String) {
    let threat = attack.threat();
    (attack.label(), format!("{} {}", threat.norm, threat.epsilon))
}

/// What tells apart the attacks that [`attack_labels`] numbers: the fields in which each differs from the first of its label.
pub(crate) fn label_remarks(attacks: &[AttackSpec]) -> Vec<String> {
    let names = attack_names(attacks);
    let remark = |(attack, name): (&AttackSpec, &String)| {
        let first = attacks
            .iter()
            .find(|other| attack_label(other) == attack_label(attack))
            .filter(|first| *first != attack)?;
        let (own, others) = differences(attack, first);
        let (label, ball) = attack_label(first);
        Some(format!("{name}: {own}; {label}, {ball}: {others}."))
    };
    attacks.iter().zip(&names).filter_map(remark).collect()
}

/// The fields in which two attacks differ, with the values of each.
fn differences(attack: &AttackSpec, other: &AttackSpec) -> (String, String) {
    let (own, others) = (fields(attack), fields(other));
    let names: BTreeSet<&String> = own.keys().chain(others.keys()).collect();
    let differing: Vec<&String> = names.into_iter().filter(|name| own.get(*name) != others.get(*name)).collect();
    let told = |of: &BTreeMap<String, String>| {
        let value = |name: &&String| match of.get(*name) {
            Some(value) => format!("{} {value}", name.replace('_', " ")),
            // Left out of the spec.
            None => format!("{} as usual", name.replace('_', " ")),
        };
        differing.iter().map(value).collect::<Vec<_>>().join(", ")
    };
    (told(&own), told(&others))
}

/// An attack's fields as its spec has them, those of tables as `dialect.kind`.
fn fields(attack: &AttackSpec) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), serde_json::to_value(attack).expect("a spec is plain data with text keys"))];
    while let Some((path, value)) = open.pop() {
        let text = match value {
            Value::Object(inner) => {
                let prefix = if path.is_empty() { path } else { path + "." };
                open.extend(inner.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
                continue;
            }
            Value::String(text) => text,
            other => other.to_string(),
        };
        found.insert(path, text);
    }
    found
}

fn cells(row: &Row, units: Units, footnotes: &mut Footnotes) -> Vec<Cell> {
    let mut cells = vec![
        Cell::plain(&row.name),
        method_cell(row),
        Cell::plain(row.network_label()),
        teacher(row, footnotes),
        epochs(row),
        measurement(row.natural, footnotes),
    ];
    cells.extend(row.robust.iter().map(|robust| measurement(*robust, footnotes)));
    cells.push(epoch_time(row.epoch_time.as_ref(), units.epoch_digits));
    cells.push(total(row.training_us, units));
    cells.push(total(row.training_with_teacher_us, units));
    cells.extend(speed_up(row, footnotes));
    cells
}

fn method_cell(row: &Row) -> Cell {
    let details = row.training_attack.iter().map(AttackSpec::label).collect();
    Cell { details, ..Cell::plain(row.method) }
}

fn teacher(row: &Row, footnotes: &mut Footnotes) -> Cell {
    match &row.teacher {
        None => Cell::none(),
        Some(Teacher::Job { id, name }) => Cell::plain(name.clone().unwrap_or_else(|| format!("#{id}"))),
        Some(Teacher::Artifact(artifact)) => Cell {
            value: artifact.label(),
            marks: footnotes.mark("An imported network: how long its training took is not known."),
            ..Cell::default()
        },
        Some(Teacher::Checkpoint(path)) => Cell {
            value: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            marks: footnotes.mark("A checkpoint file: how long its training took is not known."),
            ..Cell::default()
        },
    }
}

fn epochs(row: &Row) -> Cell {
    match row.state {
        JobState::Succeeded => Cell::plain(row.epochs_total.to_string()),
        state => Cell {
            value: format!("{}/{}", row.epochs_done, row.epochs_total),
            details: vec![state.to_string()],
            ..Cell::default()
        },
    }
}

fn measurement(measurement: Measurement, footnotes: &mut Footnotes) -> Cell {
    match measurement {
        Measurement::Absent => Cell::none(),
        Measurement::Pending { state: JobState::Succeeded, .. } => Cell::none(),
        Measurement::Pending { state, .. } => Cell { details: vec![state.to_string()], ..Cell::none() },
        Measurement::Measured { accuracy, source, balanced } => Cell {
            value: percent(accuracy),
            details: [interval(accuracy), format!("{}/{}", accuracy.correct, accuracy.total)]
                .into_iter()
                .chain(balanced.map(|fraction| format!("by class {}", percent_of(fraction, accuracy.total))))
                .collect(),
            marks: match source {
                Source::Evaluation(_) => String::new(),
                Source::Validation => footnotes.mark(
                    "From the training's own validation after its last epoch: no evaluation job has measured it.",
                ),
            },
        },
    }
}

fn epoch_time(time: Option<&EpochTime>, digits: usize) -> Cell {
    let Some(time) = time else { return Cell::none() };
    let seconds = |us: f64| format!("{:.digits$}", us / 1e6);
    let value = match time.half_width_us {
        Some(half_width_us) => format!("{} ± {}", seconds(time.mean_us), seconds(half_width_us)),
        None => seconds(time.mean_us),
    };
    Cell { value, details: vec![format!("n = {}", time.n)], ..Cell::default() }
}

fn total(time_us: Option<u64>, units: Units) -> Cell {
    time_us.map_or(Cell::none(), |time| Cell::plain(units.total.format(time as f64)))
}

fn speed_up(row: &Row, footnotes: &mut Footnotes) -> [Cell; 2] {
    let Some(speed_up) = &row.speed_up else { return [Cell::none(), Cell::none()] };
    let marks = baseline_marks(row, &speed_up.baseline, footnotes);
    let cell = |value: f64| Cell { value: ratio(value), marks: marks.clone(), ..Cell::default() };
    [cell(speed_up.without_teacher), speed_up.with_teacher.map_or(Cell::none(), cell)]
}

fn baseline_marks(row: &Row, baseline: &Baseline, footnotes: &mut Footnotes) -> String {
    let mut marks = String::new();
    if baseline.candidates > 1 && baseline.job != row.job {
        marks += &footnotes.mark(&format!(
            "Over {} (job {}), one of {} adversarial trainings of the same network: one of full length before others, then the same \
             seed, then the oldest.",
            baseline.name, baseline.job, baseline.candidates,
        ));
    }
    if baseline.is_fine_tuning {
        marks += &footnotes.mark(&format!(
            "{} began with another network's weights: no adversarial training of the same network from fresh ones is complete.",
            baseline.name
        ));
    }
    if let Some(epochs) = baseline.scaled_to_epochs {
        marks += &footnotes.mark(&format!(
            "Extrapolated: {} trained for {} of {epochs} epochs as a timing reference; its mean epoch time counts \
             {epochs} times, as often as the teacher has epochs.",
            baseline.name, baseline.epochs,
        ));
    }
    if baseline.comparable == Comparable::OtherMachine {
        marks += &footnotes.mark(&format!(
            "Not like with like: this network and {} were trained on different machines or devices.",
            baseline.name
        ));
    }
    marks
}

fn general_remarks(table: &Table) -> Vec<String> {
    let mut remarks = vec![
        "Accuracies: percent of test images, with Wilson's 95 % interval and correct/total.".to_owned(),
        "Epoch time: the training loop alone, data loading in, validation and checkpoints out; mean ± half-width of the \
         95 % Student-t interval over n epochs, the first (warm-up) one included."
            .to_owned(),
    ];
    if table.rows.iter().any(|row| row.speed_up.is_some()) {
        remarks.push(
            "Speed-up: time of adversarial training of the same network, divided by this training's time, without and \
             with the training of its teacher."
                .to_owned(),
        );
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pgd(more: &str) -> AttackSpec {
        let threat = r#"{"norm": "linf", "epsilon": "0.1"}"#;
        let text = format!(r#"{{"kind": "pgd", "threat": {threat}, "steps": 3, "step_size": "0.05", {more}}}"#);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn numbered_attacks_say_in_what_they_differ() {
        let attacks = [
            pgd(r#""start": "uniform", "selection": "last""#),
            pgd(r#""start": "sphere", "selection": "best-loss""#),
            pgd(r#""start": "uniform", "selection": "best-loss""#),
        ];
        assert_eq!(
            label_remarks(&attacks),
            [
                "PGD 3x1 (2), linf 0.1: selection best-loss, start sphere; PGD 3x1, linf 0.1: selection last, start uniform.",
                "PGD 3x1 (3), linf 0.1: selection best-loss; PGD 3x1, linf 0.1: selection last.",
            ]
        );
    }

    #[test]
    fn attacks_of_other_balls_need_no_remark() {
        let attack = pgd(r#""start": "uniform", "selection": "last""#);
        let larger = attack.with_epsilon(&"0.2".parse().unwrap());
        assert_eq!(label_remarks(&[attack, larger]), [""; 0]);
    }
}
