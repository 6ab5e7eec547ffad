//! Robust accuracy of each architecture as upright bars (Figure 5).

use plotters::style::RGBColor;

use super::{
    MARGIN, ReportError, SMALL_SIZE, WIDTH,
    axis::Axis,
    canvas::{Anchor, Canvas, Weight, truncated},
    chart::{accuracy_notes, legend_top},
    legend::{Key, Legend},
    marker::{Filling, Marker, Shape},
    palette,
};
use crate::{Accuracies, Plot, Point, number::percent_of};

const LEFT: i32 = 52;
const RIGHT: i32 = WIDTH - 28;
const HEIGHT: i32 = 340;
const FOOT: i32 = 36;
/// Percent above the highest bar, for its label.
const HEADROOM: f64 = 5.0;
const WIDEST_BAR: i32 = 56;
const BAR_GAP: i32 = 4;

/// Bars in groups, one per architecture.
pub(super) struct BarChart<'a> {
    plot: &'a Plot,
    legend: Legend,
    groups: Vec<Group>,
    vertical: Axis,
    top: i32,
}

/// An architecture.
struct Group {
    name: String,
    bars: Vec<Bar>,
}

struct Bar {
    color: RGBColor,
    robust: Option<Accuracies>,
    /// What is said where there is no number.
    state: String,
    /// The paper's, in percent.
    paper: Option<f64>,
}

impl<'a> BarChart<'a> {
    /// `None` where nothing is measured.
    pub(super) fn of(plot: &'a Plot) -> Option<Self> {
        let groups = groups(plot);
        let bars = || groups.iter().flat_map(|group| &group.bars);
        let heights = bars().flat_map(|bar| {
            let high = bar.robust.map(|robust| 100.0 * robust.interval().1);
            [high, bar.paper].into_iter().flatten()
        });
        let most = heights.reduce(f64::max)?;
        let legend = Legend::new(keys(plot, bars().any(|bar| bar.paper.is_some())), legend_top(plot));
        let top = legend.bottom() + 24;
        Some(Self { plot, legend, vertical: Axis::percent(0.0, most + HEADROOM, (top + HEIGHT, top)), groups, top })
    }

    pub(super) fn bottom(&self) -> i32 {
        self.top + HEIGHT + FOOT
    }

    pub(super) fn notes(&self) -> Vec<String> {
        accuracy_notes(self.plot)
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        self.legend.draw(canvas)?;
        canvas.text("Robust accuracy, %", (LEFT, self.top - 13), SMALL_SIZE, Anchor::Left, Weight::Bold)?;
        for (value, label) in self.vertical.ticks() {
            let y = self.vertical.pixel(value);
            canvas.hairline((LEFT, RIGHT), y)?;
            canvas.pale_text(&label, (LEFT - 8, y), Anchor::Right)?;
        }
        let width = (RIGHT - LEFT) / self.groups.len() as i32;
        for (group, index) in self.groups.iter().zip(0..) {
            self.group(group, LEFT + width * index, width, canvas)?;
        }
        let bottom = self.top + HEIGHT;
        canvas.line([(LEFT, bottom), (RIGHT, bottom)], palette::PALE_INK, 1)
    }

    fn group(&self, group: &Group, left: i32, width: i32, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let middle = left + width / 2;
        let name = truncated(&group.name, SMALL_SIZE, Weight::Normal, width - 4);
        canvas.text(&name, (middle, self.top + HEIGHT + 15), SMALL_SIZE, Anchor::Middle, Weight::Normal)?;
        let count = group.bars.len() as i32;
        let bar = ((width - MARGIN) / count - BAR_GAP).clamp(4, WIDEST_BAR);
        let first = middle - (count * (bar + BAR_GAP) - BAR_GAP) / 2;
        for (content, index) in group.bars.iter().zip(0..) {
            let left = first + index * (bar + BAR_GAP);
            self.bar(content, (left, left + bar), canvas)?;
        }
        Ok(())
    }

    fn bar(&self, bar: &Bar, (left, right): (i32, i32), canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let (middle, base) = ((left + right) / 2, self.vertical.pixel(0.0));
        let mut label_y = base;
        if let Some(robust) = bar.robust {
            let (low, high) = robust.interval();
            let [top, low, high] = [robust.mean.mean, low, high].map(|fraction| self.vertical.pixel(100.0 * fraction));
            canvas.rectangle((left, right), (top, base), bar.color)?;
            canvas.line([(middle, low), (middle, high)], palette::INK, 2)?;
            [low, high]
                .into_iter()
                .try_for_each(|y| canvas.line([(middle - 5, y), (middle + 5, y)], palette::INK, 2))?;
            label_y = high.min(top);
        }
        if let Some(paper) = bar.paper {
            let y = self.vertical.pixel(paper);
            Marker { shape: Shape::Diamond, color: palette::INK, filling: Filling::Hollow }
                .draw((middle, y), canvas)?;
            // Above whichever is higher, so that neither mark nor whisker is covered.
            label_y = label_y.min(y - 4);
        }
        match bar.robust {
            Some(robust) => {
                let text = percent_of(robust.mean.mean, robust.images());
                canvas.text(&text, (middle, label_y - 11), SMALL_SIZE, Anchor::Middle, Weight::Normal)
            }
            None => canvas.pale_text(&bar.state, (middle, label_y - 11), Anchor::Middle),
        }
    }
}

/// Architectures in the order in which they are first named.
fn groups(plot: &Plot) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, series) in plot.series.iter().enumerate() {
        for (place, point) in series.points.iter().enumerate() {
            let paper = series.paper_of(place).and_then(|paper| paper.robust);
            let bar = bar(point, palette::series(index), paper);
            let name = point.network.map_or_else(|| point.job.clone(), |network| network.to_string());
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.bars.push(bar),
                None => groups.push(Group { name, bars: vec![bar] }),
            }
        }
    }
    groups
}

fn bar(point: &Point, color: RGBColor, paper: Option<f64>) -> Bar {
    Bar { color, robust: point.ours.robust, state: point.ours.evaluation_states(|run| run.robust), paper }
}

fn keys(plot: &Plot, with_paper: bool) -> Vec<(Key, String)> {
    let series = plot.series.iter().enumerate();
    let mut keys: Vec<_> =
        series.map(|(index, series)| (Key::Area(palette::series(index)), series.label.clone())).collect();
    if with_paper {
        let hollow = Marker { shape: Shape::Diamond, color: palette::INK, filling: Filling::Hollow };
        keys.push((Key::Mark(hollow), "hollow: the paper's".to_owned()));
    }
    keys
}
