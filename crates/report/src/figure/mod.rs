//! Drawings: a plan's table with accuracies on the left, training times on the right, one row per network; and the paper's figures.

mod accuracy_panel;
mod axis;
mod bar_chart;
mod canvas;
mod chart;
mod frame;
mod legend;
mod line_chart;
mod marker;
mod palette;
mod scale;
mod time_chart;
mod time_panel;

use crate::{Row, Table, Teacher};
use accuracy_panel::AccuracyPanel;
use canvas::{Anchor, Canvas, Weight, text_width, truncated};
use time_panel::TimePanel;

pub(crate) use chart::chart;

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The table has no row.
    #[error("draw a figure: the plan trains no network")]
    NothingToDraw,
    /// No point of the figure has numbers.
    #[error("draw a figure: no point of it has been measured yet")]
    NoPoints,
    /// The drawing library refused.
    #[error("draw a figure: {0}")]
    Drawing(String),
}

/// Pixels that a README shows without scaling down.
const WIDTH: i32 = 920;
const MARGIN: i32 = 16;
/// Tick labels.
const FOOT: i32 = 34;
/// Between the panels: room for the labels at the ends of the left one's bars.
const GUTTER: i32 = 64;
/// Room right of the time panel for its bars' labels.
const END_LABEL: i32 = 92;
const LEAST_NAMES: i32 = 110;
const MOST_NAMES: i32 = 250;
const NAME_SIZE: i32 = 14;
const SMALL_SIZE: i32 = 12;
/// Space between the groups of bars.
const GROUP_GAP: i32 = 20;
/// Three lines of naming need this much.
const LEAST_GROUP: i32 = 48;

/// Draws the table as SVG, 920 pixels wide and as high as its rows need.
///
/// Text is left to the viewer's sans-serif font; no font of this machine is read.
///
/// # Errors
/// [`ReportError::NothingToDraw`] of a table without rows.
pub fn figure(table: &Table) -> Result<String, ReportError> {
    if table.rows.is_empty() {
        return Err(ReportError::NothingToDraw);
    }
    let layout = Layout::of(table);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (WIDTH, layout.height))?;
    draw(table, &layout, &canvas)?;
    canvas.finish()?;
    Ok(svg)
}

/// Where everything goes, in pixels from the upper left corner.
struct Layout {
    names: i32,
    head: i32,
    group: i32,
    height: i32,
    accuracy: AccuracyPanel,
    time: TimePanel,
}

impl Layout {
    fn of(table: &Table) -> Self {
        let texts = table.rows.iter().flat_map(naming);
        let widest = texts.map(|(text, weight, size)| text_width(&text, size, weight)).max();
        let names = widest.unwrap_or(0).clamp(LEAST_NAMES, MOST_NAMES);
        let left = MARGIN + names + 14;
        let free = WIDTH - MARGIN - END_LABEL - GUTTER - left;
        let split = left + free * 11 / 20;
        let accuracy = AccuracyPanel::new(table, (left, split));
        let time = TimePanel::new(table, (split + GUTTER, WIDTH - MARGIN - END_LABEL));
        let head = accuracy.frame.bottom_of_keys().max(time.frame.bottom_of_keys());
        let group = AccuracyPanel::group_height(table).max(LEAST_GROUP);
        let height = head + table.rows.len() as i32 * (group + GROUP_GAP) + FOOT;
        Self { names, head, group, height, accuracy, time }
    }

    /// Middle of a row's band.
    fn middle(&self, row: usize) -> i32 {
        self.head + row as i32 * (self.group + GROUP_GAP) + (self.group + GROUP_GAP) / 2
    }
}

fn draw(table: &Table, layout: &Layout, canvas: &Canvas<'_>) -> Result<(), ReportError> {
    let title = truncated(&table.plan, 17, Weight::Bold, WIDTH - 2 * MARGIN);
    canvas.text(&title, (MARGIN, 20), 17, Anchor::Left, Weight::Bold)?;
    layout.accuracy.frame.draw(canvas, layout.head, layout.height - FOOT)?;
    layout.time.frame.draw(canvas, layout.head, layout.height - FOOT)?;
    for (index, row) in table.rows.iter().enumerate() {
        let middle = layout.middle(index);
        if index > 0 {
            canvas.hairline((MARGIN, WIDTH - MARGIN), middle - (layout.group + GROUP_GAP) / 2)?;
        }
        names(row, layout, middle, canvas)?;
        layout.accuracy.bars(row, middle, canvas)?;
        layout.time.bar(row, middle, canvas)?;
    }
    Ok(())
}

fn naming(row: &Row) -> [(String, Weight, i32); 3] {
    let epochs = if row.epochs_total == 1 { "epoch" } else { "epochs" };
    [
        (row.name.clone(), Weight::Bold, NAME_SIZE),
        (method(row), Weight::Normal, SMALL_SIZE),
        (format!("{}, {} {epochs}", row.network_label(), row.epochs_total), Weight::Normal, SMALL_SIZE),
    ]
}

/// The method, and what it trains with.
fn method(row: &Row) -> String {
    match (&row.training_attack, &row.teacher) {
        (Some(attack), _) => format!("{}, {}", row.method, attack.label()),
        (None, Some(Teacher::Job { name: Some(name), .. })) => format!("{} from {name}", row.method),
        (None, Some(Teacher::Artifact(artifact))) => format!("{} from {}", row.method, artifact.label()),
        (None, Some(Teacher::Job { .. } | Teacher::Checkpoint(_)) | None) => row.method.to_owned(),
    }
}

fn names(row: &Row, layout: &Layout, middle: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
    let right = MARGIN + layout.names;
    for ((text, weight, size), line) in naming(row).into_iter().zip([-1, 0, 1]) {
        let text = truncated(&text, size, weight, layout.names);
        canvas.text(&text, (right, middle + line * 17), size, Anchor::Right, weight)?;
    }
    Ok(())
}
