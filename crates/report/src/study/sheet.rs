//! The table, laid out: ours, and below it the paper's.

use rrm_recipes::{Column, PaperNumbers};
use rrm_spec::AttackSpec;

use super::{Ratios, Study, StudyRow};
use crate::{
    Accuracies, Measurement, Measures, Run, SampleMean,
    number::{NONE, TimeUnit, interval, percent_of, ratio, second_digits},
    runs::{attacks, named},
    sheet::{Cell, Content, Footnotes, Header, Sheet, SheetRow, header},
    table_sheet::{attack_names, label_remarks},
};

/// A column as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Epochs,
    EpochTime,
    Training,
    WithTeacher,
    SpeedUp,
    SpeedUpWithTeacher,
    Natural,
    Robust,
}

/// Lays a study out.
pub(super) fn sheet(study: &Study) -> Sheet {
    let columns = shown(&study.columns);
    let units = Units::of(study);
    let mut footnotes = Footnotes::default();
    let attacks = owned_attacks(study);
    let names = attack_names(&attacks);
    let name_of = |attack: &AttackSpec| attacks.iter().position(|known| known == attack).map(|place| &names[place]);
    let of_row = |row: &StudyRow| {
        let mut lines = rows(row, &columns, units, &mut footnotes);
        if let Some(robust) = columns.iter().position(|column| *column == Shown::Robust).filter(|_| names.len() > 1) {
            lines[0].cells[1 + robust].marks += &attack_marks(row, name_of, &mut footnotes);
        }
        lines
    };
    let rows = study.rows.iter().flat_map(of_row).collect();
    let headers = std::iter::once(header(["method"])).chain(columns.iter().map(|column| heading(*column, units)));
    Sheet {
        naming: 1,
        content: Content::Numbers,
        headers: headers.collect(),
        rows,
        footnotes: footnotes.0,
        remarks: remarks(study, &columns),
    }
}

/// Where rows are of different threats, each says which attack its robust accuracy is under.
fn attack_marks<'a>(
    row: &StudyRow,
    name_of: impl Fn(&AttackSpec) -> Option<&'a String>,
    footnotes: &mut Footnotes,
) -> String {
    let measured = row.ours.robust.is_some();
    let attacks = attacks(row.ours.runs.iter()).into_iter().filter(|_| measured);
    attacks.filter_map(name_of).map(|name| footnotes.mark(&format!("Under {name}."))).collect()
}

fn owned_attacks(study: &Study) -> Vec<AttackSpec> {
    study.attacks().into_iter().cloned().collect()
}

/// Where one of the times stands, all four numbers that follow from them do.
fn shown(columns: &[Column]) -> Vec<Shown> {
    let mut shown = Vec::new();
    for column in columns {
        match column {
            Column::Epochs => shown.push(Shown::Epochs),
            Column::EpochTime => shown.push(Shown::EpochTime),
            Column::TrainingTime | Column::TrainingTimeWithTeacher if shown.contains(&Shown::Training) => {}
            Column::TrainingTime | Column::TrainingTimeWithTeacher => {
                shown.extend([Shown::Training, Shown::WithTeacher, Shown::SpeedUp, Shown::SpeedUpWithTeacher]);
            }
            Column::Natural => shown.push(Shown::Natural),
            Column::Robust => shown.push(Shown::Robust),
        }
    }
    shown
}

/// Units and digits that hold for whole columns.
#[derive(Clone, Copy)]
struct Units {
    total: TimeUnit,
    epoch_digits: usize,
}

impl Units {
    fn of(study: &Study) -> Self {
        let ours = || study.rows.iter().map(|row| &row.ours);
        let totals = ours().filter_map(|ours| Some(ours.training_with_teacher.or(ours.training)?.mean));
        let papers =
            study.rows.iter().filter_map(|row| Some(60e6 * row.paper.with_teacher_min.or(row.paper.training_min)?));
        let totals: Vec<f64> = totals.collect();
        let shortest = ours().filter_map(|ours| Some(ours.epoch_time?.mean)).fold(f64::INFINITY, f64::min);
        Self {
            total: match totals.is_empty() {
                true => TimeUnit::for_longest(papers),
                false => TimeUnit::for_longest(totals.into_iter()),
            },
            epoch_digits: second_digits(shortest),
        }
    }
}

fn heading(column: Shown, units: Units) -> Header {
    let total = units.total.symbol();
    match column {
        Shown::Epochs => header(["epochs"]),
        Shown::EpochTime => header(["epoch", "time, s"]),
        Shown::Training => header(["training", &format!("time, {total}")]),
        Shown::WithTeacher => header(["… with", "teacher"]),
        Shown::SpeedUp => header(["speed-up"]),
        Shown::SpeedUpWithTeacher => header(["… with", "teacher"]),
        Shown::Natural => header(["natural", "accuracy, %"]),
        Shown::Robust => header(["robust", "accuracy, %"]),
    }
}

fn rows(row: &StudyRow, columns: &[Shown], units: Units, footnotes: &mut Footnotes) -> Vec<SheetRow> {
    let mut ours = vec![name(row, footnotes)];
    ours.extend(columns.iter().map(|column| own_cell(row, *column, units, footnotes)));
    let mut rows = vec![SheetRow::apart(ours)];
    if row.paper != PaperNumbers::default() {
        let papers = columns.iter().map(|column| papers_cell(row, *column, units));
        rows.push(SheetRow::below(std::iter::once(Cell::plain("  paper")).chain(papers).collect()));
    }
    rows
}

fn name(row: &StudyRow, footnotes: &mut Footnotes) -> Cell {
    let mut marks = String::new();
    if row.ours.replays() > 1 {
        let replays = row.ours.replays();
        marks += &footnotes.mark(&format!(
            "Each epoch trains {replays} times on every batch and counts {replays} times, as in the paper; the epoch's time is of one \
             replay: mean and interval are both divided by {replays} (the authors' interval is not)."
        ));
    }
    if !row.mixed.is_empty() {
        marks += &footnotes.mark(&format!("Over jobs that differ in more than their seed: {}.", row.mixed.join(", ")));
    }
    let details = match row.ours.runs.len() {
        0 => vec!["not in this plan".to_owned()],
        1 => vec![format!("seed {}", row.ours.runs[0].seed)],
        runs => vec![format!("{runs} seeds")],
    };
    Cell { value: row.label.clone(), details, marks }
}

fn own_cell(row: &StudyRow, column: Shown, units: Units, footnotes: &mut Footnotes) -> Cell {
    let ours = &row.ours;
    match column {
        Shown::Epochs => epochs(ours),
        Shown::EpochTime => epoch_time(ours, units.epoch_digits),
        Shown::Training => time(ours, ours.training, units),
        Shown::WithTeacher => time(ours, ours.training_with_teacher, units),
        Shown::SpeedUp => speed_up(row, |ratios| ratios.without_teacher, footnotes),
        Shown::SpeedUpWithTeacher => speed_up(row, |ratios| ratios.with_teacher, footnotes),
        Shown::Natural => accuracy(ours, ours.natural, |run| run.row.natural, footnotes),
        Shown::Robust => accuracy(ours, ours.robust, |run| run.robust, footnotes),
    }
}

fn epochs(ours: &Measures) -> Cell {
    let done = ours.runs.iter().map(|run| run.row.epochs_done.saturating_mul(run.replays)).min();
    match (ours.epochs, done) {
        (Some(epochs), Some(done)) if done < epochs => {
            Cell::with_details(format!("{done}/{epochs}"), [ours.training_states()])
        }
        (Some(epochs), _) => Cell::plain(epochs.to_string()),
        (None, Some(_)) => Cell::plain("various"),
        (None, None) => Cell::none(),
    }
}

fn epoch_time(ours: &Measures, digits: usize) -> Cell {
    let Some(time) = ours.epoch_time else { return Cell::none() };
    let of = if ours.runs.len() > 1 { "seeds" } else { "epochs" };
    Cell::with_details(with_half_width(time.scaled(1e-6), digits), [format!("n = {} {of}", time.n)])
}

fn time(ours: &Measures, time: Option<SampleMean>, units: Units) -> Cell {
    match time {
        Some(time) => {
            Cell::with_details(with_half_width(time.scaled(units.total.count(1.0)), 2), part(time.n, ours.runs.len()))
        }
        None if ours.runs.is_empty() => Cell::none(),
        None if ours.training.is_some() => Cell::with_details(NONE, ["not known".to_owned()]),
        None => Cell::with_details(NONE, [ours.training_states()]),
    }
}

fn speed_up(row: &StudyRow, of: fn(&Ratios) -> Option<f64>, footnotes: &mut Footnotes) -> Cell {
    let Some((ratios, value)) = row.speed_up.as_ref().and_then(|ratios| Some((ratios, of(ratios)?))) else {
        return Cell::none();
    };
    let mut marks = String::new();
    if !ratios.same_machine {
        marks += &footnotes.mark(&format!(
            "Not like with like: this row and {} were trained on different machines or devices.",
            ratios.reference
        ));
    }
    if ratios.is_fine_tuning {
        marks += &footnotes.mark(&format!(
            "{} began with another network's weights: there is no adversarial training of the same network from fresh ones.",
            ratios.reference
        ));
    }
    if !ratios.same_precision {
        marks += &footnotes.mark(&format!(
            "Of method and arithmetic together: {} was trained in another precision (as in the paper, where it is f32 and the others \
             are f16).",
            ratios.reference
        ));
    }
    Cell { value: ratio(value), marks, ..Cell::default() }
}

fn accuracy(
    ours: &Measures,
    accuracies: Option<Accuracies>,
    of: fn(&Run) -> Measurement,
    footnotes: &mut Footnotes,
) -> Cell {
    let Some(accuracies) = accuracies else {
        return match ours.runs.is_empty() {
            true => Cell::none(),
            false => Cell::with_details(NONE, [ours.evaluation_states(of)]),
        };
    };
    let Accuracies { mean, pooled, balanced, validated } = accuracies;
    let percent = |fraction: f64| percent_of(fraction, accuracies.images());
    let value = match mean.half_width {
        Some(half_width) => format!("{} ± {}", percent(mean.mean), percent(half_width)),
        None => percent(mean.mean),
    };
    let mut details = part(mean.n, ours.runs.len());
    details.push(interval(pooled));
    details.push(format!("{}/{}", pooled.correct, pooled.total));
    details.extend(balanced.map(|fraction| format!("by class {}", percent(fraction))));
    let marks = match validated {
        0 => String::new(),
        _ => footnotes
            .mark("From the trainings' own validation after their last epoch: no evaluation job has measured it."),
    };
    Cell { value, details, marks }
}

/// What is to be said of a mean over fewer seeds than there are.
fn part(n: usize, seeds: usize) -> Vec<String> {
    if n < seeds { vec![format!("{n} of {seeds} seeds")] } else { Vec::new() }
}

fn with_half_width(mean: SampleMean, digits: usize) -> String {
    match mean.half_width {
        Some(half_width) => format!("{:.digits$} ± {half_width:.digits$}", mean.mean),
        None => format!("{:.digits$}", mean.mean),
    }
}

fn papers_cell(row: &StudyRow, column: Shown, units: Units) -> Cell {
    let paper = &row.paper;
    let minutes = |minutes: f64| units.total.format(60e6 * minutes);
    let ratio_of = |of: fn(&Ratios) -> Option<f64>| row.paper_speed_up.as_ref().and_then(of).map(ratio);
    let text = match column {
        Shown::Epochs => paper.epochs.map(|epochs| epochs.to_string()),
        Shown::EpochTime => paper.epoch_s.map(|epoch_s| match paper.epoch_half_width_s {
            Some(half_width_s) => format!("{epoch_s:.2} ± {half_width_s:.2}"),
            None => format!("{epoch_s:.2}"),
        }),
        Shown::Training => paper.training_min.map(minutes),
        Shown::WithTeacher => paper.with_teacher_min.map(minutes),
        Shown::SpeedUp => ratio_of(|ratios| ratios.without_teacher),
        Shown::SpeedUpWithTeacher => ratio_of(|ratios| ratios.with_teacher),
        Shown::Natural => paper.natural.map(|percent| format!("{percent:.2}")),
        Shown::Robust => paper.robust.map(|percent| format!("{percent:.2}")),
    };
    text.map_or(Cell::none(), Cell::plain)
}

fn remarks(study: &Study, columns: &[Shown]) -> Vec<String> {
    let mut remarks = vec![
        "Accuracies: percent of test images. Of one seed, Wilson's 95 % interval and correct/total; over seeds, their mean ± half-width \
         of its 95 % Student-t interval, with Wilson's interval and correct/total of all seeds' images together (which takes them for \
         independent)."
            .to_owned(),
    ];
    if let [attack] = study.attacks().as_slice() {
        remarks.push(format!("Robust: under {}.", named(attack)));
    }
    remarks.extend(label_remarks(&owned_attacks(study)));
    if columns.contains(&Shown::EpochTime) {
        remarks.push(
            "Epoch time: the training loop alone, data loading in, validation and checkpoints out; mean ± half-width of the 95 % \
             Student-t interval, of one seed over its epochs, the first (warm-up) one included, of several over the seeds' means."
                .to_owned(),
        );
    }
    remarks.extend(columns.contains(&Shown::SpeedUp).then(|| speed_up_remark(study)).flatten());
    if study.rows.iter().any(|row| row.paper != PaperNumbers::default()) {
        remarks.push("paper: what the paper has. Its times are of other hardware: compare the speed-ups.".to_owned());
    }
    remarks.extend(study.remarks.iter().cloned());
    remarks
}

fn speed_up_remark(study: &Study) -> Option<String> {
    let mut references: Vec<&str> = Vec::new();
    for ratios in study.rows.iter().flat_map(|row| row.speed_up.iter().chain(&row.paper_speed_up)) {
        if !references.contains(&ratios.reference.as_str()) {
            references.push(&ratios.reference);
        }
    }
    (!references.is_empty()).then(|| {
        format!(
            "Speed-up: training time of {}, divided by this row's, without and with the training of what it builds on.",
            references.join(" or of ")
        )
    })
}
