//! A table of the paper: its rows over all seeds, beside the paper's own numbers.

mod comparison;
pub(crate) mod csv;
pub(crate) mod json;
mod sheet;
mod speed_up;

use std::collections::HashMap;

use rrm_recipes::{Column, PaperNumbers, TableLayout};
use rrm_spec::{AttackSpec, ImageOutcome, JobDetail, JobId, SubmissionId};

use crate::{
    Measures, Provenance, latex, markdown, provenance_sheet,
    runs::{Runs, attacks},
    text,
};

pub use comparison::{Comparison, PairedTest};
pub use speed_up::Ratios;

/// Outcomes of single images, by the evaluation that found them.
pub type Outcomes = HashMap<JobId, Vec<ImageOutcome>>;

/// The results of a plan in the form of one of the paper's tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// The recipe's name.
    pub name: String,
    /// What the table shows.
    pub title: String,
    /// The plan as it was submitted; absent where there is no job.
    pub submission: Option<SubmissionId>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Rows in the paper's order.
    pub rows: Vec<StudyRow>,
    /// Differences between rows over the seeds that they share.
    pub comparisons: Vec<Comparison>,
    /// What else is to be said, such as why a job failed.
    pub remarks: Vec<String>,
}

/// A row: one way to train a network.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyRow {
    /// Its name in the paper.
    pub label: String,
    /// The train job's name in the plan.
    pub job: String,
    /// What the plan's jobs gave.
    pub ours: Measures,
    /// Names of the jobs, without their seeds, where they differ in more than that; otherwise empty.
    pub mixed: Vec<String>,
    /// What the paper has.
    pub paper: PaperNumbers,
    /// How much less time it took than the row it is compared with.
    pub speed_up: Option<Ratios>,
    /// The same by the paper's times.
    pub paper_speed_up: Option<Ratios>,
}

/// Collects what `jobs` say of a table's rows.
///
/// Give a plan's jobs together with all jobs that they build on. Nothing is invented: a row without jobs has the paper's numbers alone.
pub fn study(name: &str, layout: &TableLayout, jobs: &[JobDetail]) -> Study {
    let runs = Runs::new(jobs, layout.rows.iter().map(|row| row.job.as_str()));
    let mut rows: Vec<StudyRow> = layout.rows.iter().map(|row| study_row(row, &runs)).collect();
    speed_up::compare(&mut rows);
    Study {
        name: name.to_owned(),
        title: layout.title.clone(),
        submission: runs.table.submission,
        columns: layout.columns.clone(),
        comparisons: comparison::comparisons(&rows, &Outcomes::new()),
        remarks: runs.table.remarks.clone(),
        rows,
    }
}

fn study_row(layout: &rrm_recipes::RowLayout, runs: &Runs<'_>) -> StudyRow {
    let variants = runs.variants(&layout.job);
    let mixed = match variants.len() {
        0 | 1 => Vec::new(),
        _ => variants.iter().map(|variant| variant.name.clone()).collect(),
    };
    StudyRow {
        label: layout.label.clone(),
        job: layout.job.clone(),
        ours: Measures::of(variants.into_iter().flat_map(|variant| variant.runs).collect()),
        mixed,
        paper: layout.paper.clone(),
        speed_up: None,
        paper_speed_up: None,
    }
}

impl Study {
    /// The attacks of the robust accuracies; several where rows are of different threats.
    pub fn attacks(&self) -> Vec<&AttackSpec> {
        attacks(self.rows.iter().flat_map(|row| &row.ours.runs))
    }

    /// The evaluations whose outcomes of single images [`Self::with_outcomes`] can use.
    pub fn evaluations(&self) -> Vec<JobId> {
        self.rows.iter().flat_map(|row| row.ours.runs.iter().filter_map(comparison::evaluation)).collect()
    }

    /// Compares rows image by image, as far as the outcomes of both are given.
    pub fn with_outcomes(self, outcomes: &Outcomes) -> Self {
        Self { comparisons: comparison::comparisons(&self.rows, outcomes), ..self }
    }

    /// Aligned text for terminals: the table, the comparisons, where the numbers come from.
    pub fn to_text(&self) -> String {
        let mut text = text::render(&self.heading(), &sheet::sheet(self));
        if !self.comparisons.is_empty() {
            text += &format!("\n{}", text::render("Paired comparisons", &comparison::sheet(self)));
        }
        text + &format!("\n{}", text::render("Provenance", &provenance_sheet::sheet(self.provenances())))
    }

    /// The same as GitHub-flavoured Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text =
            format!("### {}\n\n{}", markdown::escape(&self.heading()), markdown::render(&sheet::sheet(self)));
        if !self.comparisons.is_empty() {
            text += &format!("\n#### Paired comparisons\n\n{}", markdown::render(&comparison::sheet(self)));
        }
        text + &format!("\n#### Provenance\n\n{}", markdown::render(&provenance_sheet::sheet(self.provenances())))
    }

    /// The same as LaTeX `tabular`s that need the package booktabs.
    pub fn to_latex(&self) -> String {
        let mut text = format!("% {}\n{}", latex::escape(&self.heading()), latex::render(&sheet::sheet(self)));
        if !self.comparisons.is_empty() {
            text += &format!("\n% Paired comparisons\n{}", latex::render(&comparison::sheet(self)));
        }
        text + &format!("\n% Provenance\n{}", latex::render(&provenance_sheet::sheet(self.provenances())))
    }

    /// Comma-separated values (RFC 4180), one line per row of the table: raw counts, fractions and microseconds.
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// A JSON document with `"schema": 1`: raw counts, fractions and microseconds, every seed by itself, and all provenance.
    pub fn to_json(&self) -> serde_json::Value {
        json::render(self)
    }

    fn heading(&self) -> String {
        format!("{}: {}", self.name, self.title)
    }

    fn provenances(&self) -> impl Iterator<Item = (&str, &Provenance)> {
        self.rows.iter().flat_map(|row| row.ours.runs.iter().map(|run| (row.label.as_str(), &run.provenance)))
    }
}
