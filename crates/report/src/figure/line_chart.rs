//! Natural and robust accuracy as lines over time (Figure 2) or over λ (Figure 4).

use rrm_recipes::FigureKind;

use super::{
    ReportError, SMALL_SIZE, WIDTH,
    axis::Axis,
    canvas::{Anchor, Canvas, Weight},
    chart::{accuracy_notes, legend_top},
    legend::{Key, Legend, Stroke},
    marker::{Filling, Marker, Shape},
    palette,
};
use crate::{Accuracies, Plot, PlotSeries, Point, number::TimeUnit};

const LEFT: i32 = 52;
const RIGHT: i32 = WIDTH - 28;
const HEIGHT: i32 = 380;
/// Tick labels and the axis's title.
const FOOT: i32 = 54;
/// Points of the paper so many times beyond our longest training are left out: they would press all of ours into a corner.
const FAR: f64 = 2.0;

/// A figure with accuracies on its vertical axis.
pub(super) struct LineChart<'a> {
    plot: &'a Plot,
    legend: Legend,
    lines: Vec<Line>,
    horizontal: Axis,
    horizontal_title: String,
    vertical: Axis,
    top: i32,
    /// What of the paper's is not drawn.
    left_out: Option<String>,
}

/// A series.
struct Line {
    marker: Marker,
    natural: Vec<Dot>,
    robust: Vec<Dot>,
    /// (x, percent) of the paper's.
    paper: Vec<(f64, f64)>,
}

/// A point in the units of the axes.
#[derive(Clone, Copy)]
struct Dot {
    x: f64,
    percent: f64,
    low: f64,
    high: f64,
}

impl<'a> LineChart<'a> {
    /// `None` where there is no point.
    pub(super) fn of(plot: &'a Plot) -> Option<Self> {
        let unit = unit(plot);
        let mut lines: Vec<Line> =
            plot.series.iter().enumerate().map(|(index, series)| Line::of(index, series, plot.kind, unit)).collect();
        let left_out = leave_far_ones_out(&mut lines, plot.kind, unit);
        let xs = || lines.iter().flat_map(Line::xs);
        let percents = || lines.iter().flat_map(Line::percents);
        let (least, most) = (xs().reduce(f64::min)?, xs().reduce(f64::max)?);
        let legend = Legend::new(keys(plot, &lines), legend_top(plot));
        let top = legend.bottom() + 24;
        let horizontal = match plot.kind {
            FigureKind::AccuracyOverLambda => Axis::logarithmic(least, most, (LEFT, RIGHT)),
            FigureKind::AccuracyOverTime | FigureKind::TrainingTime | FigureKind::AccuracyByNetwork => {
                Axis::from_zero(most, (LEFT, RIGHT))
            }
        };
        let vertical = Axis::percent(percents().reduce(f64::min)?, percents().reduce(f64::max)?, (top + HEIGHT, top));
        Some(Self {
            plot,
            legend,
            lines,
            horizontal,
            horizontal_title: title(plot.kind, unit),
            vertical,
            top,
            left_out,
        })
    }

    pub(super) fn bottom(&self) -> i32 {
        self.top + HEIGHT + FOOT
    }

    pub(super) fn notes(&self) -> Vec<String> {
        accuracy_notes(self.plot).into_iter().chain(self.left_out.clone()).collect()
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        self.legend.draw(canvas)?;
        self.grid(canvas)?;
        for line in &self.lines {
            self.whiskers(line, canvas)?;
            self.strokes(line, canvas)?;
        }
        // Marks last, so that no line crosses them; the paper's on top, since ours may lie on them.
        for line in &self.lines {
            for dot in line.natural.iter().chain(&line.robust) {
                line.marker.draw(self.place(dot.x, dot.percent), canvas)?;
            }
        }
        for line in &self.lines {
            let hollow = Marker { filling: Filling::Hollow, ..line.marker };
            line.paper.iter().try_for_each(|&(x, percent)| hollow.draw(self.place(x, percent), canvas))?;
        }
        Ok(())
    }

    fn place(&self, x: f64, percent: f64) -> (i32, i32) {
        (self.horizontal.pixel(x), self.vertical.pixel(percent))
    }

    fn grid(&self, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let bottom = self.top + HEIGHT;
        canvas.text("Accuracy, %", (LEFT, self.top - 13), SMALL_SIZE, Anchor::Left, Weight::Bold)?;
        for (value, label) in self.vertical.ticks() {
            let y = self.vertical.pixel(value);
            canvas.hairline((LEFT, RIGHT), y)?;
            canvas.pale_text(&label, (LEFT - 8, y), Anchor::Right)?;
        }
        for (value, label) in self.horizontal.ticks() {
            let x = self.horizontal.pixel(value);
            canvas.line([(x, self.top), (x, bottom)], palette::GRID, 1)?;
            canvas.pale_text(&label, (x, bottom + 13), Anchor::Middle)?;
        }
        canvas.line([(LEFT, bottom), (RIGHT, bottom)], palette::PALE_INK, 1)?;
        let middle = (LEFT + RIGHT) / 2;
        canvas.text(&self.horizontal_title, (middle, bottom + 36), SMALL_SIZE, Anchor::Middle, Weight::Bold)
    }

    fn whiskers(&self, line: &Line, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        for dot in line.natural.iter().chain(&line.robust) {
            let (x, _) = self.place(dot.x, dot.percent);
            let (low, high) = (self.vertical.pixel(dot.low), self.vertical.pixel(dot.high));
            canvas.line([(x, low), (x, high)], line.marker.color, 1)?;
            [low, high].into_iter().try_for_each(|y| canvas.line([(x - 4, y), (x + 4, y)], line.marker.color, 1))?;
        }
        Ok(())
    }

    fn strokes(&self, line: &Line, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let places = |dots: &[Dot]| dots.iter().map(|dot| self.place(dot.x, dot.percent)).collect::<Vec<_>>();
        for ends in places(&line.natural).windows(2) {
            canvas.line([ends[0], ends[1]], line.marker.color, 2)?;
        }
        canvas.dashed(&places(&line.robust), line.marker.color, 2)
    }
}

impl Line {
    fn of(index: usize, series: &PlotSeries, kind: FigureKind, unit: TimeUnit) -> Self {
        let marker = Marker { shape: Shape::of_series(index), color: palette::series(index), filling: Filling::Full };
        let dots = |of: fn(&Point) -> Option<Accuracies>| {
            let dot = |point: &Point| Some(Dot::of(x(point, kind, unit)?, of(point)?));
            let mut dots: Vec<Dot> = series.points.iter().filter_map(dot).collect();
            dots.sort_by(|one, other| one.x.total_cmp(&other.x));
            dots
        };
        Self {
            marker,
            natural: dots(|point| point.ours.natural),
            robust: dots(|point| point.ours.robust),
            paper: papers(series, kind, unit),
        }
    }

    fn xs(&self) -> impl Iterator<Item = f64> {
        let ours = self.natural.iter().chain(&self.robust).map(|dot| dot.x);
        ours.chain(self.paper.iter().map(|(x, _)| *x))
    }

    fn percents(&self) -> impl Iterator<Item = f64> {
        let ours = self.natural.iter().chain(&self.robust).flat_map(|dot| [dot.low, dot.percent, dot.high]);
        ours.chain(self.paper.iter().map(|(_, percent)| *percent))
    }
}

impl Dot {
    fn of(x: f64, accuracies: Accuracies) -> Self {
        let (low, high) = accuracies.interval();
        Self { x, percent: 100.0 * accuracies.mean.mean, low: 100.0 * low, high: 100.0 * high }
    }
}

/// Where a point lies on the horizontal axis.
fn x(point: &Point, kind: FigureKind, unit: TimeUnit) -> Option<f64> {
    match kind {
        FigureKind::AccuracyOverLambda => point.lambda.filter(|lambda| *lambda > 0.0),
        FigureKind::AccuracyOverTime | FigureKind::TrainingTime | FigureKind::AccuracyByNetwork => {
            Some(unit.count(point.ours.training?.mean))
        }
    }
}

/// (x, percent) of what the paper's text fixes, natural and robust.
fn papers(series: &PlotSeries, kind: FigureKind, unit: TimeUnit) -> Vec<(f64, f64)> {
    let mut places = Vec::new();
    for mark in &series.paper {
        let x = match kind {
            FigureKind::AccuracyOverLambda => mark.point.and_then(|point| x(&series.points[point], kind, unit)),
            FigureKind::AccuracyOverTime | FigureKind::TrainingTime | FigureKind::AccuracyByNetwork => {
                mark.numbers.training_min.map(|minutes| unit.count(60e6 * minutes))
            }
        };
        let percents = [mark.numbers.natural, mark.numbers.robust].into_iter().flatten();
        places.extend(x.into_iter().flat_map(|x| percents.clone().map(move |percent| (x, percent))));
    }
    places
}

/// That of our longest training or, before there is one, the paper's minutes.
fn unit(plot: &Plot) -> TimeUnit {
    let points = plot.series.iter().flat_map(|series| &series.points);
    let times: Vec<f64> = points.filter_map(|point| Some(point.ours.training?.mean)).collect();
    if times.is_empty() { TimeUnit::Minutes } else { TimeUnit::for_longest(times.into_iter()) }
}

/// Takes the paper's points away that lie far beyond ours, and says so.
fn leave_far_ones_out(lines: &mut [Line], kind: FigureKind, unit: TimeUnit) -> Option<String> {
    let ours =
        lines.iter().flat_map(|line| line.natural.iter().chain(&line.robust)).map(|dot| dot.x).reduce(f64::max)?;
    if kind != FigureKind::AccuracyOverTime {
        return None;
    }
    let mut far: Vec<f64> = Vec::new();
    for line in lines {
        line.paper.retain(|&(x, _)| {
            let near = x <= FAR * ours;
            if !near && !far.contains(&x) {
                far.push(x);
            }
            near
        });
    }
    far.sort_by(f64::total_cmp);
    let times: Vec<String> = far.iter().map(|x| format!("{x:.1}")).collect();
    let symbol = unit.symbol();
    (!far.is_empty()).then(|| {
        format!(
            "Left out, since they lie far beyond the axis: the paper's points at {} {symbol}, on its hardware.",
            times.join(", ")
        )
    })
}

fn title(kind: FigureKind, unit: TimeUnit) -> String {
    match kind {
        FigureKind::AccuracyOverLambda => "λ, weight of the cross-entropy (logarithmic)".to_owned(),
        FigureKind::AccuracyOverTime | FigureKind::TrainingTime | FigureKind::AccuracyByNetwork => {
            format!("Training time, {}, without the teacher's", unit.symbol())
        }
    }
}

fn keys(plot: &Plot, lines: &[Line]) -> Vec<(Key, String)> {
    let series = plot.series.iter().zip(lines);
    let mut keys: Vec<_> = series.map(|(series, line)| (Key::Line(line.marker), series.label.clone())).collect();
    keys.push((Key::Stroke(Stroke::Solid, palette::INK), "natural images".to_owned()));
    keys.push((Key::Stroke(Stroke::Dashed, palette::INK), "under attack".to_owned()));
    if lines.iter().any(|line| !line.paper.is_empty()) {
        let hollow = Marker { shape: Shape::Disc, color: palette::INK, filling: Filling::Hollow };
        keys.push((Key::Mark(hollow), "hollow: the paper's".to_owned()));
    }
    keys
}
