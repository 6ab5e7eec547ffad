//! A figure's points as JSON; `schema` changes when a field changes its meaning or goes.

use serde_json::{Value, json};

use super::{Plot, PlotSeries, Point, kind_name, sheet::sheet};
use crate::study::json::{attack, measures, paper};

pub(super) fn render(plot: &Plot) -> Value {
    json!({
        "schema": 1,
        "kind": "figure",
        "recipe": plot.name,
        "title": plot.title,
        "axes": kind_name(plot.kind),
        "submission": plot.submission,
        "attacks": plot.attacks().into_iter().map(attack).collect::<Vec<_>>(),
        "series": plot.series.iter().map(series).collect::<Vec<_>>(),
        "notes": sheet(plot).remarks,
        "provenance": plot.provenances().map(|(job, of)| json!({"point": job, "of": of})).collect::<Vec<_>>(),
    })
}

fn series(series: &PlotSeries) -> Value {
    let marks = series.paper.iter();
    json!({
        "label": series.label,
        "points": series.points.iter().map(point).collect::<Vec<_>>(),
        "paper": marks.map(|mark| json!({"job": mark.job, "numbers": paper(&mark.numbers)})).collect::<Vec<_>>(),
    })
}

fn point(point: &Point) -> Value {
    let mut value = measures(&point.ours);
    let fields = value.as_object_mut().expect("measures are an object");
    fields.insert("job".into(), json!(point.job));
    fields.insert("network".into(), json!(point.network));
    fields.insert("lambda".into(), json!(point.lambda));
    value
}
