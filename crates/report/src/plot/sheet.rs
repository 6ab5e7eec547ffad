//! A figure's points, laid out as a table.

use rrm_recipes::PaperNumbers;
use rrm_spec::AttackSpec;

use super::{Plot, PlotSeries, Point};
use crate::{
    Accuracies, SampleMean,
    number::{NONE, TimeUnit, interval, percent_of},
    sheet::{Cell, Content, Sheet, SheetRow, header},
    table_sheet::{attack_names, label_remarks},
};

pub(super) fn sheet(plot: &Plot) -> Sheet {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let totals = points().filter_map(|point| Some(point.ours.training_with_teacher.or(point.ours.training)?.mean));
    let unit = TimeUnit::for_longest(totals);
    let headers = vec![
        header(["point"]),
        header(["network"]),
        header(["λ"]),
        header(["epochs"]),
        header(["training", &format!("time, {}", unit.symbol())]),
        header(["… with", "teacher"]),
        header(["natural", "accuracy, %"]),
        header(["robust", "accuracy, %"]),
    ];
    Sheet {
        naming: 1,
        content: Content::Numbers,
        headers,
        rows: plot.series.iter().flat_map(|series| rows(series, unit)).collect(),
        footnotes: Vec::new(),
        remarks: remarks(plot),
    }
}

fn rows(series: &PlotSeries, unit: TimeUnit) -> Vec<SheetRow> {
    let points = series.points.iter().enumerate().flat_map(|(index, point)| {
        let paper = series.paper_of(index).map(|paper| SheetRow::below(paper_cells("  paper", paper, unit)));
        std::iter::once(SheetRow::apart(cells(series, point, unit))).chain(paper)
    });
    let unplaced = series.paper.iter().filter(|mark| mark.point.is_none());
    let unplaced =
        unplaced.map(|mark| SheetRow::apart(paper_cells(&format!("paper: {}", mark.job), &mark.numbers, unit)));
    points.chain(unplaced).collect()
}

fn cells(series: &PlotSeries, point: &Point, unit: TimeUnit) -> Vec<Cell> {
    let seeds = match point.ours.runs.len() {
        0 => "not in this plan".to_owned(),
        1 => format!("seed {}", point.ours.runs[0].seed),
        runs => format!("{runs} seeds"),
    };
    vec![
        Cell::with_details(&series.label, [point.job.clone(), seeds]),
        point.network.map_or(Cell::none(), |network| Cell::plain(network.to_string())),
        point.lambda.map_or(Cell::none(), |lambda| Cell::plain(lambda.to_string())),
        epochs(point),
        time(point.ours.training, unit),
        time(point.ours.training_with_teacher, unit),
        accuracy(point.ours.natural, || point.ours.evaluation_states(|run| run.row.natural)),
        accuracy(point.ours.robust, || point.ours.evaluation_states(|run| run.robust)),
    ]
}

fn epochs(point: &Point) -> Cell {
    let states = match point.ours.training.is_some() || point.ours.runs.is_empty() {
        true => None,
        false => Some(point.ours.training_states()),
    };
    Cell::with_details(point.ours.epochs.map_or(NONE.to_owned(), |epochs| epochs.to_string()), states)
}

fn time(time: Option<SampleMean>, unit: TimeUnit) -> Cell {
    let Some(SampleMean { mean, half_width, .. }) = time else { return Cell::none() };
    match half_width {
        Some(half_width) => Cell::plain(format!("{} ± {}", unit.format(mean), unit.format(half_width))),
        None => Cell::plain(unit.format(mean)),
    }
}

fn accuracy(accuracies: Option<Accuracies>, missing: impl Fn() -> String) -> Cell {
    let Some(accuracies) = accuracies else { return Cell::with_details(NONE, [missing()]) };
    let percent = |fraction: f64| percent_of(fraction, accuracies.images());
    let mean = percent(accuracies.mean.mean);
    match accuracies.mean.half_width {
        Some(half_width) => Cell::plain(format!("{mean} ± {}", percent(half_width))),
        None => Cell::with_details(mean, [interval(accuracies.pooled)]),
    }
}

fn paper_cells(name: &str, paper: &PaperNumbers, unit: TimeUnit) -> Vec<Cell> {
    let PaperNumbers { epochs, training_min, with_teacher_min, natural, robust, .. } = paper;
    let minutes = |minutes: Option<f64>| minutes.map(|minutes| unit.format(60e6 * minutes));
    let percent = |percent: Option<f64>| percent.map(|percent| format!("{percent:.2}"));
    let numbers = [
        None,
        None,
        epochs.map(|epochs| epochs.to_string()),
        minutes(*training_min),
        minutes(*with_teacher_min),
        percent(*natural),
        percent(*robust),
    ];
    let numbers = numbers.into_iter().map(|number| number.map_or(Cell::none(), Cell::plain));
    std::iter::once(Cell::plain(name)).chain(numbers).collect()
}

fn remarks(plot: &Plot) -> Vec<String> {
    let mut remarks = vec![
        "Over seeds: mean ± half-width of its 95 % Student-t interval; accuracies of one seed with Wilson's 95 % interval."
            .to_owned(),
    ];
    let attacks: Vec<AttackSpec> = plot.attacks().into_iter().cloned().collect();
    if !attacks.is_empty() {
        remarks.push(format!("Robust: under {}.", attack_names(&attacks).join("; ")));
    }
    remarks.extend(label_remarks(&attacks));
    if plot.series.iter().any(|series| !series.paper.is_empty()) {
        remarks.push("paper: points that the paper's text fixes; its times are of other hardware.".to_owned());
    }
    remarks.extend(plot.remarks.iter().cloned());
    remarks
}
