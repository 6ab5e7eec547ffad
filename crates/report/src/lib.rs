#![doc = include_str!("../README.md")]

mod collect;
mod csv;
mod figure;
mod json;
mod latex;
mod markdown;
mod number;
mod remarks;
mod sheet;
mod speed_up;
mod student_t;
mod suspicion;
mod table;
mod text;
mod timing;

pub use collect::table;
pub use figure::{ReportError, figure};
pub use suspicion::{Finding, Level, Suspicion, suspicion};
pub use table::{Baseline, Comparable, Measurement, Row, Source, SpeedUp, Table, Teacher};
pub use timing::EpochTime;

impl Table {
    /// Aligned text for terminals, with footnotes.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// A GitHub-flavoured Markdown table, with footnotes.
    pub fn to_markdown(&self) -> String {
        markdown::render(self)
    }

    /// Comma-separated values (RFC 4180) with a header: raw counts and microseconds.
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// A LaTeX `tabular` that needs the package booktabs, with footnotes below.
    pub fn to_latex(&self) -> String {
        latex::render(self)
    }

    /// A JSON document with `"schema": 1`: raw counts and microseconds.
    pub fn to_json(&self) -> serde_json::Value {
        json::render(self)
    }
}
