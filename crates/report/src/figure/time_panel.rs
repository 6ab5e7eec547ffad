//! The right panel: training time, a network's own and its teacher's.

use rrm_spec::JobId;

use super::{
    ReportError, SMALL_SIZE,
    canvas::{Anchor, Canvas, Weight},
    frame::Frame,
    palette,
    scale::Scale,
};
use crate::{Baseline, Row, Table, number::TimeUnit};

const BAR: i32 = 22;

/// Total training times, in a unit that suits the longest.
pub(super) struct TimePanel {
    pub(super) frame: Frame,
    scale: Scale,
    unit: TimeUnit,
    extrapolations: Vec<(JobId, f64)>,
}

impl TimePanel {
    pub(super) fn new(table: &Table, pixels: (i32, i32)) -> Self {
        let extrapolations = extrapolations(table);
        let totals = table.rows.iter().filter_map(|row| Some(shares(row)?.total() as f64));
        let longest_us = totals.chain(extrapolations.iter().map(|(_, time_us)| *time_us)).fold(0.0, f64::max);
        let unit = TimeUnit::for_longest([longest_us].into_iter());
        // With nothing to show, any axis will do.
        let most = if longest_us > 0.0 { unit.count(longest_us) } else { 1.0 };
        let scale = Scale { most, pixels };
        let keys = keys(table, &extrapolations);
        let frame = Frame::new(format!("Training time, {}", unit.symbol()), scale, keys);
        Self { frame, scale, unit, extrapolations }
    }

    /// A row's stacked bar around `middle`.
    pub(super) fn bar(&self, row: &Row, middle: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let left = self.scale.pixels.0;
        let Some(shares) = shares(row) else {
            return canvas.pale_text(row.state.name(), (left + 6, middle), Anchor::Left);
        };
        let extrapolated_us = self.extrapolations.iter().find(|(job, _)| *job == row.job).map(|(_, time_us)| *time_us);
        let rows = (middle - BAR / 2, middle + BAR / 2);
        let own = self.pixel(shares.own_us as f64);
        let end = self.pixel(extrapolated_us.unwrap_or(shares.total() as f64));
        let beyond = if extrapolated_us.is_some() { palette::PALE_GREEN } else { palette::ORANGE };
        canvas.rectangle((left, own), rows, palette::BLUISH_GREEN)?;
        if end > own {
            canvas.rectangle((own, end), rows, beyond)?;
        }
        let label = self.label(shares, extrapolated_us);
        canvas.text(&label, (end + 7, middle), SMALL_SIZE, Anchor::Left, Weight::Normal)
    }

    fn pixel(&self, time_us: f64) -> i32 {
        self.scale.pixel(self.unit.count(time_us))
    }

    fn label(&self, shares: Shares, extrapolated_us: Option<f64>) -> String {
        let time = |time_us: u64| self.unit.format(time_us as f64);
        match (extrapolated_us, shares.teacher_us) {
            (Some(extrapolated_us), _) => format!("≈ {}", self.unit.format(extrapolated_us)),
            (None, Some(0)) => time(shares.own_us),
            (None, Some(teacher_us)) => format!("{} + {}", time(shares.own_us), time(teacher_us)),
            (None, None) => format!("{} + ?", time(shares.own_us)),
        }
    }
}

fn keys(table: &Table, extrapolations: &[(JobId, f64)]) -> Vec<(plotters::style::RGBColor, String)> {
    let mut keys = vec![(palette::BLUISH_GREEN, "own".to_owned())];
    if table.rows.iter().any(|row| shares(row).is_some_and(|shares| shares.teacher_us > Some(0))) {
        keys.push((palette::ORANGE, "teacher's".to_owned()));
    }
    if !extrapolations.is_empty() {
        keys.push((palette::PALE_GREEN, "extrapolated".to_owned()));
    }
    keys
}

/// Timing references with the times that they would have taken, where others are compared with them.
fn extrapolations(table: &Table) -> Vec<(JobId, f64)> {
    let baselines = || table.rows.iter().filter_map(|row| Some(&row.speed_up.as_ref()?.baseline));
    let scaled = |job: JobId| {
        let of_job = baselines().filter(|baseline| baseline.job == job && baseline.scaled_to_epochs.is_some());
        of_job.map(|Baseline { training_us, .. }| *training_us).reduce(f64::max)
    };
    table.rows.iter().filter_map(|row| Some((row.job, scaled(row.job)?))).collect()
}

/// What a network cost.
#[derive(Clone, Copy)]
struct Shares {
    own_us: u64,
    /// Of all that it builds on; absent where that is not known.
    teacher_us: Option<u64>,
}

impl Shares {
    fn total(self) -> u64 {
        self.own_us + self.teacher_us.unwrap_or(0)
    }
}

fn shares(row: &Row) -> Option<Shares> {
    let own_us = row.training_us?;
    Some(Shares { own_us, teacher_us: row.training_with_teacher_us.map(|total| total - own_us) })
}
