//! A plan's table, laid out.

use rrm_spec::{AttackSpec, JobState};

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
    let remarks = general_remarks(table).into_iter().chain(table.remarks.iter().cloned()).collect();
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
    let label = |attack: &AttackSpec| {
        let threat = attack.threat();
        (attack.label(), format!("{} {}", threat.norm, threat.epsilon))
    };
    let labels: Vec<_> = attacks.iter().map(label).collect();
    let same_before = |index: usize| labels[..index].iter().filter(|label| **label == labels[index]).count();
    let numbered = labels.iter().enumerate().map(|(index, (attack, ball))| match same_before(index) {
        0 => (attack.clone(), ball.clone()),
        before => (format!("{attack} ({})", before + 1), ball.clone()),
    });
    numbered.collect()
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
    let marks = baseline_marks(&speed_up.baseline, footnotes);
    let cell = |value: f64| Cell { value: ratio(value), marks: marks.clone(), ..Cell::default() };
    [cell(speed_up.without_teacher), speed_up.with_teacher.map_or(Cell::none(), cell)]
}

fn baseline_marks(baseline: &Baseline, footnotes: &mut Footnotes) -> String {
    let mut marks = String::new();
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
