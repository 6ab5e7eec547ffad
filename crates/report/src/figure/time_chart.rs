//! Training times as lying bars, the teacher's part set off (Figure 3).

use super::{
    MARGIN, NAME_SIZE, ReportError, SMALL_SIZE, WIDTH,
    axis::Axis,
    canvas::{Anchor, Canvas, Weight, text_width, truncated},
    chart::legend_top,
    legend::{Key, Legend},
    marker::{Filling, Marker, Shape},
    palette,
};
use crate::{Plot, PlotSeries, Point, SampleMean, number::TimeUnit};

const BAR: i32 = 24;
const ROW: i32 = 40;
const FOOT: i32 = 54;
const MOST_NAMES: i32 = 240;
/// Room for the labels at the bars' ends.
const END_LABEL: i32 = 220;
/// A mark of the paper so many times beyond our longest bar is left out: it would press all of ours into a corner.
const FAR: f64 = 2.0;

/// Bars, one per network.
pub(super) struct TimeChart {
    legend: Legend,
    bars: Vec<Bar>,
    names: i32,
    axis: Axis,
    unit: TimeUnit,
    top: i32,
    seeds: usize,
    /// What of the paper's is not drawn.
    left_out: Option<String>,
}

/// A network's times, in microseconds.
struct Bar {
    name: String,
    own: Option<SampleMean>,
    /// With its teacher's; absent where that is not known.
    total: Option<SampleMean>,
    /// What is said where there is no time.
    state: String,
    /// The paper's total.
    paper: Option<f64>,
    /// Whether the paper's total has a mark; otherwise the label alone tells it.
    is_paper_far: bool,
}

impl TimeChart {
    /// `None` where nothing was trained.
    pub(super) fn of(plot: &Plot) -> Option<Self> {
        let mut bars: Vec<Bar> = plot.series.iter().flat_map(bars_of).collect();
        let ours = bars.iter().filter_map(Bar::end).reduce(f64::max);
        let longest = ours.or_else(|| bars.iter().filter_map(|bar| bar.paper).reduce(f64::max))?;
        let unit = TimeUnit::for_longest([longest].into_iter());
        let left_out = leave_far_ones_out(&mut bars, FAR * longest);
        let near = bars.iter().filter(|bar| !bar.is_paper_far);
        let most = near.filter_map(|bar| bar.paper).fold(longest, f64::max);
        let legend = Legend::new(keys(&bars), legend_top(plot));
        let widest = bars.iter().map(|bar| text_width(&bar.name, NAME_SIZE, Weight::Normal)).max();
        let names = widest.unwrap_or(0).min(MOST_NAMES);
        let axis = Axis::from_zero(unit.count(most), (MARGIN + names + 12, WIDTH - END_LABEL));
        let seeds = bars.iter().filter_map(|bar| Some(bar.own?.n)).max().unwrap_or(0);
        Some(Self { top: legend.bottom() + 8, legend, bars, names, axis, unit, seeds, left_out })
    }

    pub(super) fn bottom(&self) -> i32 {
        self.end_of_bars() + FOOT
    }

    fn end_of_bars(&self) -> i32 {
        self.top + ROW * self.bars.len() as i32
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let whiskers = match self.seeds {
            0 | 1 => None,
            seeds => Some(format!("Whiskers: 95 % Student-t interval of the mean over {seeds} seeds.")),
        };
        whiskers.into_iter().chain(self.left_out.clone()).collect()
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        self.legend.draw(canvas)?;
        let bottom = self.end_of_bars();
        for (value, label) in self.axis.ticks() {
            let x = self.axis.pixel(value);
            canvas.line([(x, self.top), (x, bottom)], palette::GRID, 1)?;
            canvas.pale_text(&label, (x, bottom + 13), Anchor::Middle)?;
        }
        let (left, right) = (self.axis.pixel(0.0), self.axis.pixel(f64::MAX));
        let title = format!("Training time, {}", self.unit.symbol());
        canvas.text(&title, ((left + right) / 2, bottom + 36), SMALL_SIZE, Anchor::Middle, Weight::Bold)?;
        for (bar, index) in self.bars.iter().zip(0..) {
            self.bar(bar, self.top + ROW * index + ROW / 2, canvas)?;
        }
        canvas.line([(left, self.top), (left, bottom)], palette::PALE_INK, 1)
    }

    fn bar(&self, bar: &Bar, middle: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let left = self.axis.pixel(0.0);
        let name = truncated(&bar.name, NAME_SIZE, Weight::Normal, self.names);
        canvas.text(&name, (left - 10, middle), NAME_SIZE, Anchor::Right, Weight::Normal)?;
        let rows = (middle - BAR / 2, middle + BAR / 2);
        let mut end = left;
        if let Some(own) = bar.own {
            let own_end = self.pixel(own.mean);
            canvas.rectangle((left, own_end), rows, palette::BLUISH_GREEN)?;
            end = bar.total.map_or(own_end, |total| self.pixel(total.mean));
            if end > own_end {
                canvas.rectangle((own_end, end), rows, palette::ORANGE)?;
            }
            end = end.max(self.whisker(bar.total.unwrap_or(own), middle, canvas)?);
        }
        if let Some(paper) = bar.paper.filter(|_| !bar.is_paper_far) {
            let x = self.pixel(paper);
            Marker { shape: Shape::Diamond, color: palette::INK, filling: Filling::Hollow }
                .draw((x, middle), canvas)?;
            end = end.max(x + 6);
        }
        let label_at = (end + 8, middle);
        match bar.own {
            Some(_) => canvas.text(&self.label(bar), label_at, SMALL_SIZE, Anchor::Left, Weight::Normal),
            None => canvas.pale_text(&self.label(bar), label_at, Anchor::Left),
        }
    }

    /// Draws the interval of a time, and says where it ends.
    fn whisker(&self, time: SampleMean, middle: i32, canvas: &Canvas<'_>) -> Result<i32, ReportError> {
        let Some(half_width) = time.half_width else { return Ok(self.pixel(time.mean)) };
        let (low, high) = (self.pixel(time.mean - half_width), self.pixel(time.mean + half_width));
        canvas.line([(low, middle), (high, middle)], palette::INK, 2)?;
        for x in [low, high] {
            canvas.line([(x, middle - 5), (x, middle + 5)], palette::INK, 2)?;
        }
        Ok(high)
    }

    fn pixel(&self, time_us: f64) -> i32 {
        self.axis.pixel(self.unit.count(time_us))
    }

    /// Own part and teacher's, or the state of the training; and the paper's total.
    fn label(&self, bar: &Bar) -> String {
        let time = |time_us: f64| self.unit.format(time_us);
        let ours = match (bar.own, bar.total) {
            (Some(own), Some(total)) if total.mean > own.mean => {
                format!("{} + {}", time(own.mean), time(total.mean - own.mean))
            }
            (Some(own), Some(_)) => time(own.mean),
            (Some(own), None) => format!("{} + ?", time(own.mean)),
            (None, _) => bar.state.clone(),
        };
        bar.paper.map_or(ours.clone(), |paper| format!("{ours}; paper {}", time(paper)))
    }
}

impl Bar {
    /// Where it ends, its whisker included.
    fn end(&self) -> Option<f64> {
        let time = self.total.or(self.own)?;
        Some(time.mean + time.half_width.unwrap_or(0.0))
    }
}

fn bars_of(series: &PlotSeries) -> Vec<Bar> {
    let name = |point: &Point| match series.points.len() {
        1 => series.label.clone(),
        _ => format!("{}: {}", series.label, point.job),
    };
    let bar = |(index, point): (usize, &Point)| {
        let paper = series.paper_of(index).and_then(|paper| paper.with_teacher_min.or(paper.training_min));
        Bar {
            name: name(point),
            own: point.ours.training,
            total: point.ours.training_with_teacher,
            state: point.ours.training_states(),
            paper: paper.map(|minutes| 60e6 * minutes),
            is_paper_far: false,
        }
    };
    series.points.iter().enumerate().map(bar).collect()
}

/// Takes the paper's marks away that lie beyond `most`, and says so.
fn leave_far_ones_out(bars: &mut [Bar], most: f64) -> Option<String> {
    for bar in bars.iter_mut() {
        bar.is_paper_far = bar.paper.is_some_and(|paper| paper > most);
    }
    bars.iter().any(|bar| bar.is_paper_far).then(|| {
        "Times of the paper, on its hardware, that lie far beyond the axis have no mark and stand in the labels alone.".to_owned()
    })
}

fn keys(bars: &[Bar]) -> Vec<(Key, String)> {
    let mut keys = vec![(Key::Area(palette::BLUISH_GREEN), "own".to_owned())];
    if bars.iter().any(|bar| bar.total.zip(bar.own).is_some_and(|(total, own)| total.mean > own.mean)) {
        keys.push((Key::Area(palette::ORANGE), "of what it builds on (its teacher)".to_owned()));
    }
    if bars.iter().any(|bar| bar.paper.is_some() && !bar.is_paper_far) {
        let hollow = Marker { shape: Shape::Diamond, color: palette::INK, filling: Filling::Hollow };
        keys.push((Key::Mark(hollow), "hollow: the paper's, with its teacher's".to_owned()));
    }
    keys
}
