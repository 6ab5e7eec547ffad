//! A figure's points as comma-separated values: raw counts, fractions and microseconds, empty where there is nothing.

use rrm_recipes::PaperNumbers;

use super::{Plot, PlotSeries, Point, kind_name};
use crate::{
    csv::{ORIGIN, joined, line, optional},
    study::csv::{measures, measures_header, paper_fields, paper_header},
};

pub(super) fn render(plot: &Plot) -> String {
    let mut lines = vec![line(header())];
    for series in &plot.series {
        let points = series.points.iter().enumerate();
        lines.extend(points.map(|(index, point)| line(fields(plot, series, point, series.paper_of(index)))));
    }
    lines.concat()
}

fn header() -> Vec<String> {
    let mut header: Vec<String> =
        ["figure", "series", "job", "jobs", "seeds", "states", "network", "lambda", "epochs"].map(str::to_owned).into();
    header.extend(measures_header());
    header.extend(paper_header());
    header.extend(ORIGIN.map(str::to_owned));
    header
}

fn fields(plot: &Plot, series: &PlotSeries, point: &Point, paper: Option<&PaperNumbers>) -> Vec<String> {
    let runs = || point.ours.runs.iter();
    let mut fields = vec![
        kind_name(plot.kind).to_owned(),
        series.label.clone(),
        point.job.clone(),
        joined(runs().map(|run| run.row.job)),
        joined(runs().map(|run| run.seed)),
        joined(runs().map(|run| run.row.state)),
        optional(point.network),
        optional(point.lambda),
        optional(point.ours.epochs),
    ];
    fields.extend(measures(&point.ours));
    fields.extend(paper_fields(paper.unwrap_or(&PaperNumbers::default())));
    fields.extend(point.ours.origin());
    fields
}
