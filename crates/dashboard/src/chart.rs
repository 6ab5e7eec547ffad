//! Curves and points as SVG in the page. Colours come from the style sheet, so that they follow the reader's light or dark;
//! lines differ in their dashes and points in their shapes as well.

use maud::{Markup, html};

use crate::scale::Scale;

/// Units of the drawing; the style sheet stretches it to the page's width.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
/// Half of the last tick's label.
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// With more points than this a curve has none drawn: they would hide it.
const MOST_MARKS: usize = 40;

/// A line through points, or points alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which of the style sheet's eight styles.
    pub(crate) style: usize,
    /// From left to right; what is not finite is left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a drawing's points belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draws {
    Lines,
    Points,
}

/// A drawing.
pub(crate) struct Chart<'a> {
    /// Unique on the page.
    pub(crate) id: &'a str,
    /// What it shows, also for those who do not see it.
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) draws: Draws,
    pub(crate) series: Vec<Series>,
}

/// Nothing where there is no point.
pub(crate) fn chart(mut chart: Chart<'_>) -> Markup {
    for series in &mut chart.series {
        series.points.retain(|(x, y)| x.is_finite() && y.is_finite());
    }
    chart.series.retain(|series| !series.points.is_empty());
    let points = || chart.series.iter().flat_map(|series| series.points.iter().copied());
    let x = Scale::holding(points().map(|point| point.0), 6);
    let y = Scale::holding(points().map(|point| point.1), 5);
    html! {
        @if !chart.series.is_empty() {
            figure.chart {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(chart.id) {
                    title id=(chart.id) { (description(&chart)) }
                    (axes(&chart, &x, &y))
                    @for series in &chart.series { (drawn(series, chart.draws, &x, &y)) }
                }
                figcaption { (chart.title) (legend(&chart)) }
            }
        }
    }
}

fn description(chart: &Chart<'_>) -> String {
    let last = |series: &Series| series.points.last().map_or(0.0, |point| point.1);
    let ends: Vec<String> = chart.series.iter().map(|it| format!("{} {:.3}", it.name, last(it))).collect();
    format!("{}. {} over {}. At the end: {}.", chart.title, chart.y, chart.x, ends.join("; "))
}

fn px(scale: &Scale, value: f64) -> f64 {
    LEFT + scale.at(value) * (WIDTH - LEFT - RIGHT)
}

fn py(scale: &Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - scale.at(value) * (HEIGHT - TOP - BOTTOM)
}

fn axes(chart: &Chart<'_>, x: &Scale, y: &Scale) -> Markup {
    html! {
        g.axes aria-hidden="true" {
            @for tick in &y.ticks {
                line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(place(py(y, *tick))) y2=(place(py(y, *tick))) {}
                text.left x=(LEFT - 6.0) y=(place(py(y, *tick) + 4.0)) { (label(*tick, y.decimals)) }
            }
            @for tick in &x.ticks {
                text.below x=(place(px(x, *tick))) y=(HEIGHT - BOTTOM + 16.0) { (label(*tick, x.decimals)) }
            }
            text.below x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 6.0) { (chart.x) }
            text.below transform=(format!("translate(12 {}) rotate(-90)", (TOP + HEIGHT - BOTTOM) / 2.0)) { (chart.y) }
        }
    }
}

fn drawn(series: &Series, draws: Draws, x: &Scale, y: &Scale) -> Markup {
    let places: Vec<(f64, f64)> = series.points.iter().map(|point| (px(x, point.0), py(y, point.1))).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{},{}", place(*x), place(*y))).collect();
    let has_marks = draws == Draws::Points || places.len() <= MOST_MARKS;
    html! {
        g class={ "series s" (series.style % 8) } {
            @if draws == Draws::Lines && places.len() > 1 { polyline points=(line.join(" ")) {} }
            @if has_marks { @for (x, y) in &places { (mark(series.style, *x, *y)) } }
        }
    }
}

/// Four shapes, so that neighbours differ in more than their colour.
fn mark(style: usize, x: f64, y: f64) -> Markup {
    let path = match style % 4 {
        0 => return html! { circle cx=(place(x)) cy=(place(y)) r="3.5" {} },
        1 => "m-3.5 -3.5 h7 v7 h-7 z",
        2 => "m0 -4.5 l4.5 8 h-9 z",
        _ => "m0 -5 l5 5 l-5 5 l-5 -5 z",
    };
    html! { path d=(format!("M{} {} {path}", place(x), place(y))) {} }
}

fn legend(chart: &Chart<'_>) -> Markup {
    html! {
        ul.legend {
            @for series in &chart.series {
                li {
                    svg viewBox="0 0 28 12" aria-hidden="true" {
                        g class={ "series s" (series.style % 8) } {
                            @if chart.draws == Draws::Lines { polyline points="0,6 28,6" {} }
                            (mark(series.style, 14.0, 6.0))
                        }
                    }
                    (series.name)
                }
            }
        }
    }
}

/// A tenth of a unit is finer than a pixel.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn label(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(points: Vec<(f64, f64)>) -> String {
        let series = vec![Series { name: "a <b>".into(), style: 1, points }];
        let (title, x, y) = ("Loss", "epoch", "loss");
        chart(Chart { id: "c", title, x, y, draws: Draws::Lines, series }).0
    }

    #[test]
    fn a_curve_goes_through_its_points_and_names_are_escaped() {
        let svg = drawing(vec![(1.0, 2.0), (2.0, 1.0), (3.0, f64::NAN)]);
        assert!(svg.contains("<polyline") && svg.contains("a &lt;b&gt; 1.000"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn a_single_epoch_is_a_point_and_no_epoch_is_no_drawing() {
        let svg = drawing(vec![(1.0, 2.0)]);
        // The only line is the legend's.
        assert_eq!(svg.matches("<polyline").count(), 1, "{svg}");
        assert!(svg.matches("<path").count() == 2, "{svg}");
        assert_eq!(drawing(vec![(f64::NAN, 1.0)]), "");
    }
}
