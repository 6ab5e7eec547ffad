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
pub use provenance::{Evaluated, EvaluationProvenance, Made, Place, Provenance};
pub use runs::Run;
pub use study::{Comparison, Outcomes, PairedTest, Ratios, Study, StudyRow, study};
pub use suspicion::{Finding, Level, Suspicion, suspicion};
pub use table::{Baseline, Comparable, Measurement, Row, Source, SpeedUp, Table, Teacher};
pub use timing::EpochTime;

impl Table {
    /// Aligned text for terminals, with footnotes, and where the numbers come from.
    pub fn to_text(&self) -> String {
        let networks = text::render(&self.plan, &table_sheet::sheet(self));
        networks + &format!("\n{}", text::render("Provenance", &self.provenance_sheet()))
    }

    /// The same as GitHub-flavoured Markdown tables.
    pub fn to_markdown(&self) -> String {
        let networks = markdown::render(&table_sheet::sheet(self));
        networks + &format!("\n#### Provenance\n\n{}", markdown::render(&self.provenance_sheet()))
    }

    /// The same as HTML `table`s with their footnotes as paragraphs, all texts escaped; cells of numbers have the class `number`,
    /// details `note`.
    pub fn to_html(&self) -> String {
        let networks = html::render(&self.plan, &table_sheet::sheet(self));
        networks + &html::render("Provenance", &self.provenance_sheet())
    }

    /// Comma-separated values (RFC 4180) with a header: raw counts and microseconds.
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// The same as LaTeX `tabular`s that need the package booktabs, with footnotes below.
    pub fn to_latex(&self) -> String {
        let networks = latex::render(&table_sheet::sheet(self));
        networks + &format!("\n% Provenance\n{}", latex::render(&self.provenance_sheet()))
    }

    /// A JSON document with `"schema": 1`: raw counts and microseconds, and all provenance.
    pub fn to_json(&self) -> serde_json::Value {
        json::render(self)
    }

    fn provenance_sheet(&self) -> sheet::Sheet {
        provenance_sheet::sheet(self.provenances())
    }

    fn provenances(&self) -> impl Iterator<Item = (&str, &Provenance)> {
        self.rows.iter().map(|row| row.name.as_str()).zip(&self.provenance)
    }
}
