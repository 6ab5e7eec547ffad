//! The paper's figures: which of the charts draws which.

use rrm_recipes::FigureKind;

use super::{
    MARGIN, ReportError, SMALL_SIZE, WIDTH,
    bar_chart::BarChart,
    canvas::{Anchor, Canvas, Weight, text_width, truncated},
    line_chart::LineChart,
    time_chart::TimeChart,
};
use crate::{Plot, runs::named};

const TITLE_SIZE: i32 = 17;
const TITLE_LINE: i32 = 22;
/// What a recipe's title says in more lines than these is cut.
const MOST_TITLE_LINES: usize = 2;
const NOTE_LINE: i32 = 17;

/// Draws a plot as SVG.
pub(crate) fn chart(plot: &Plot) -> Result<String, ReportError> {
    match plot.kind {
        FigureKind::AccuracyOverTime | FigureKind::AccuracyOverLambda => {
            let chart = LineChart::of(plot).ok_or(ReportError::NoPoints)?;
            sheet(plot, chart.bottom(), &chart.notes(), |canvas| chart.draw(canvas))
        }
        FigureKind::TrainingTime => {
            let chart = TimeChart::of(plot).ok_or(ReportError::NoPoints)?;
            sheet(plot, chart.bottom(), &chart.notes(), |canvas| chart.draw(canvas))
        }
        FigureKind::AccuracyByNetwork => {
            let chart = BarChart::of(plot).ok_or(ReportError::NoPoints)?;
            sheet(plot, chart.bottom(), &chart.notes(), |canvas| chart.draw(canvas))
        }
    }
}

/// A sheet with the plot's title above and notes below the chart, which ends at `bottom`.
fn sheet(
    plot: &Plot,
    bottom: i32,
    notes: &[String],
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), ReportError>,
) -> Result<String, ReportError> {
    let notes: Vec<String> = notes.iter().flat_map(|note| wrapped(note, SMALL_SIZE, Weight::Normal)).collect();
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (WIDTH, bottom + NOTE_LINE * notes.len() as i32 + MARGIN / 2))?;
    for (line, index) in title(plot).iter().zip(0..) {
        canvas.text(line, (MARGIN, 20 + TITLE_LINE * index), TITLE_SIZE, Anchor::Left, Weight::Bold)?;
    }
    draw(&canvas)?;
    for (note, index) in notes.iter().zip(0..) {
        canvas.pale_text(note, (MARGIN, bottom + NOTE_LINE / 2 + NOTE_LINE * index), Anchor::Left)?;
    }
    canvas.finish()?;
    Ok(svg)
}

/// Where the legend begins, below the title.
pub(super) fn legend_top(plot: &Plot) -> i32 {
    14 + TITLE_LINE * title(plot).len() as i32
}

fn title(plot: &Plot) -> Vec<String> {
    let mut lines = wrapped(&plot.title, TITLE_SIZE, Weight::Bold);
    if lines.len() > MOST_TITLE_LINES {
        let rest = lines.split_off(MOST_TITLE_LINES - 1).join(" ");
        lines.push(truncated(&rest, TITLE_SIZE, Weight::Bold, WIDTH - 2 * MARGIN));
    }
    lines
}

/// The text in lines of the sheet's width.
fn wrapped(text: &str, size: i32, weight: Weight) -> Vec<String> {
    let fits = |line: &str, word: &str| text_width(&format!("{line} {word}"), size, weight) <= WIDTH - 2 * MARGIN;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if fits(line, word) => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How whiskers are meant, and under which attack accuracies are robust.
pub(super) fn accuracy_notes(plot: &Plot) -> Vec<String> {
    let seeds = || plot.series.iter().flat_map(|series| &series.points).map(|point| point.ours.runs.len());
    let whiskers = match (seeds().min().unwrap_or(0), seeds().max().unwrap_or(0)) {
        (_, 0) => String::new(),
        (_, 1) => "Whiskers: Wilson's 95 % interval over the images of one seed.".to_owned(),
        (least, most) if least == most => format!("Whiskers: 95 % Student-t interval of the mean over {most} seeds."),
        (_, most) => format!(
            "Whiskers: 95 % Student-t interval of the mean over up to {most} seeds; of one seed, Wilson's over its images."
        ),
    };
    let attacks: Vec<String> = plot.attacks().into_iter().map(named).collect();
    let attack = if attacks.is_empty() { String::new() } else { format!("Robust: under {}.", attacks.join("; ")) };
    let missing =
        plot.series.iter().flat_map(|series| &series.points).filter(|point| point.ours.robust.is_none()).count();
    let missing = match missing {
        0 => String::new(),
        1 => "One point is not measured yet.".to_owned(),
        missing => format!("{missing} points are not measured yet."),
    };
    let note = [attack, whiskers, missing].join(" ");
    if note.trim().is_empty() { Vec::new() } else { vec![note] }
}
