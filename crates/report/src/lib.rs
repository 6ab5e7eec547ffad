#![doc = include_str!("../README.md")]

mod collect;
mod csv;
mod figure;
mod html;
mod json;
mod latex;
mod markdown;
mod mcnemar;
mod mean;
mod measures;
mod number;
mod plot;
mod provenance;
mod provenance_sheet;
mod remarks;
mod runs;
mod sheet;
mod speed_up;
mod student_t;
mod study;
mod suspicion;
mod table;
mod table_sheet;
mod text;
mod timing;

pub use collect::table;
pub use figure::{ReportError, figure};
pub use mcnemar::McNemar;
pub use mean::SampleMean;
pub use measures::{Accuracies, Measures};
pub use plot::{PaperMark, Plot, PlotSeries, Point, plot};
pub use provenance::{Evaluated, EvaluationProvenance, Place, Provenance};
pub use runs::Run;
pub use study::{Comparison, Outcomes, PairedTest, Ratios, Study, StudyRow, study};
pub use suspicion::{Finding, Level, Suspicion, suspicion};
pub use table::{Baseline, Comparable, Measurement, Row, Source, SpeedUp, Table, Teacher};
pub use timing::EpochTime;

impl Table {
    /// Aligned text for terminals, with footnotes.
    pub fn to_text(&self) -> String {
        text::render(&self.plan, &table_sheet::sheet(self))
    }

    /// A GitHub-flavoured Markdown table, with footnotes.
    pub fn to_markdown(&self) -> String {
        markdown::render(&table_sheet::sheet(self))
    }

    /// An HTML `table` with its footnotes as paragraphs, all texts escaped; cells of numbers have the class `number`, details `note`.
    pub fn to_html(&self) -> String {
        html::render(&self.plan, &table_sheet::sheet(self))
    }

    /// Comma-separated values (RFC 4180) with a header: raw counts and microseconds.
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// A LaTeX `tabular` that needs the package booktabs, with footnotes below.
    pub fn to_latex(&self) -> String {
        latex::render(&table_sheet::sheet(self))
    }

    /// A JSON document with `"schema": 1`: raw counts and microseconds.
    pub fn to_json(&self) -> serde_json::Value {
        json::render(self)
    }
}
