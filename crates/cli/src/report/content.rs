//! What is reported, in whatever form.

use rrm_report::{Plot, Study, Table};
use serde_json::Value;

use crate::{
    arguments::TableFormat,
    exit::{Exit, Failure},
};

/// A plan's results.
pub(super) enum Content {
    /// Network by network.
    Plan(Table),
    /// As one of the paper's tables.
    Table(Study),
    /// As one of the paper's figures.
    Figure(Plot),
}

impl Content {
    /// The report as a text of that format.
    pub(super) fn written(&self, format: TableFormat) -> String {
        match format {
            TableFormat::Text => self.each(Table::to_text, Study::to_text, Plot::to_text),
            TableFormat::Markdown => self.each(Table::to_markdown, Study::to_markdown, Plot::to_markdown),
            TableFormat::Csv => self.each(Table::to_csv, Study::to_csv, Plot::to_csv),
            TableFormat::Latex => self.each(Table::to_latex, Study::to_latex, Plot::to_latex),
            TableFormat::Json => format!("{:#}\n", self.to_json()),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        self.each(Table::to_json, Study::to_json, Plot::to_json)
    }

    pub(super) fn to_svg(&self) -> Result<String, Failure> {
        match self {
            Self::Plan(table) => Ok(rrm_report::figure(table)?),
            Self::Table(study) => {
                let what = format!("{} is a table and has no drawing", study.name);
                Err(Failure::new(Exit::Invalid, what).next("write it as txt, md, csv, tex or json"))
            }
            Self::Figure(plot) => Ok(plot.to_svg()?),
        }
    }

    fn each<T>(&self, plan: fn(&Table) -> T, table: fn(&Study) -> T, figure: fn(&Plot) -> T) -> T {
        match self {
            Self::Plan(content) => plan(content),
            Self::Table(content) => table(content),
            Self::Figure(content) => figure(content),
        }
    }
}
