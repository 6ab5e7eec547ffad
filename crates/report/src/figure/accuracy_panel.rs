//! The left panel: natural and robust accuracy with their intervals.

use plotters::style::RGBColor;

use super::{
    ReportError, SMALL_SIZE,
    canvas::{Anchor, Canvas, Weight},
    frame::Frame,
    palette,
    scale::Scale,
};
use crate::{Measurement, Row, Table, number::percent, table_sheet::attack_labels};

const BAR: i32 = 16;
const BAR_GAP: i32 = 3;
/// Attacks beyond these are left to the table.
const MOST_ATTACKS: usize = 3;

/// Accuracies in percent, from 0 to 100.
pub(super) struct AccuracyPanel {
    pub(super) frame: Frame,
    scale: Scale,
}

impl AccuracyPanel {
    pub(super) fn new(table: &Table, pixels: (i32, i32)) -> Self {
        let attacks = attack_labels(&table.attacks).into_iter().take(MOST_ATTACKS).enumerate();
        let attacks = attacks.map(|(index, (attack, ball))| (palette::attack(index), format!("{attack}, {ball}")));
        let keys = std::iter::once((palette::NATURAL, "natural".to_owned())).chain(attacks).collect();
        let scale = Scale { most: 100.0, pixels };
        Self { frame: Frame::new("Accuracy, % (with 95 % interval)".to_owned(), scale, keys), scale }
    }

    /// Of the row with the most bars.
    pub(super) fn group_height(table: &Table) -> i32 {
        table.rows.iter().map(|row| height(bars(row).len())).max().unwrap_or(0)
    }

    /// A row's group of bars around `middle`.
    pub(super) fn bars(&self, row: &Row, middle: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let bars = bars(row);
        if bars.is_empty() {
            return canvas.pale_text("not measured", (self.scale.pixels.0 + 6, middle), Anchor::Left);
        }
        for ((measurement, color), index) in bars.iter().zip(0..) {
            let top = middle - height(bars.len()) / 2 + index * (BAR + BAR_GAP);
            self.bar(*measurement, *color, top, canvas)?;
        }
        Ok(())
    }

    fn bar(&self, measurement: Measurement, color: RGBColor, top: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let left = self.scale.pixels.0;
        let middle = top + BAR / 2;
        let counts = measurement.accuracy();
        let Some((accuracy, fraction, (low, high))) =
            counts.and_then(|accuracy| Some((accuracy, accuracy.fraction()?, accuracy.wilson95()?)))
        else {
            return canvas.pale_text(missing(measurement), (left + 6, middle), Anchor::Left);
        };
        let [end, low, high] = [fraction, low, high].map(|fraction| self.scale.pixel(100.0 * fraction));
        canvas.rectangle((left, end), (top, top + BAR), color)?;
        whisker(canvas, (low, high), middle)?;
        canvas.text(&percent(accuracy), (high.max(end) + 7, middle), SMALL_SIZE, Anchor::Left, Weight::Normal)
    }
}

/// What there is to draw of a row, natural first.
fn bars(row: &Row) -> Vec<(Measurement, RGBColor)> {
    let robust = row.robust.iter().take(MOST_ATTACKS).enumerate();
    let robust = robust.map(|(index, measurement)| (*measurement, palette::attack(index)));
    let all = std::iter::once((row.natural, palette::NATURAL)).chain(robust);
    all.filter(|(measurement, _)| *measurement != Measurement::Absent).collect()
}

fn height(bars: usize) -> i32 {
    bars as i32 * (BAR + BAR_GAP) - BAR_GAP
}

fn missing(measurement: Measurement) -> &'static str {
    match measurement {
        Measurement::Pending { state, .. } => state.name(),
        Measurement::Measured { .. } | Measurement::Absent => "not measured",
    }
}

fn whisker(canvas: &Canvas<'_>, (low, high): (i32, i32), y: i32) -> Result<(), ReportError> {
    canvas.line([(low, y), (high, y)], palette::INK, 2)?;
    [low, high].into_iter().try_for_each(|x| canvas.line([(x, y - 4), (x, y + 4)], palette::INK, 2))
}
