//! A figure of the paper: its points over all seeds, beside those that the paper's text fixes.

mod csv;
mod json;
mod sheet;

use rrm_recipes::{FigureKind, FigureLayout, PaperNumbers, Series};
use rrm_spec::{Arch, AttackSpec, JobDetail, SubmissionId};

use crate::{
    Measures, Provenance, ReportError, figure, latex, markdown, provenance_sheet,
    runs::{Runs, Variant, attacks},
    text,
};

/// The results of a plan in the form of one of the paper's figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The recipe's name.
    pub name: String,
    /// What the figure shows.
    pub title: String,
    /// What its axes are.
    pub kind: FigureKind,
    /// The plan as it was submitted; absent where there is no job.
    pub submission: Option<SubmissionId>,
    /// Lines, or groups of bars, in the legend's order.
    pub series: Vec<PlotSeries>,
    /// What else is to be said, such as why a job failed.
    pub remarks: Vec<String>,
}

/// A line, or a group of bars.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotSeries {
    /// Its name in the legend.
    pub label: String,
    /// Its points, in the order of the layout and, of what was swept, of the plan.
    pub points: Vec<Point>,
    /// The paper's points.
    pub paper: Vec<PaperMark>,
}

/// One way to train a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The job's name without the seed, such as `student[lambda=0.05]`.
    pub job: String,
    /// The network; absent where the plan has no such job.
    pub network: Option<Arch>,
    /// λ of RRM.
    pub lambda: Option<f64>,
    /// What the plan's jobs gave.
    pub ours: Measures,
}

/// A point that the paper's text fixes.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperMark {
    /// The job that it is of.
    pub job: String,
    /// Which of the series' points is the same job's; absent where none or several are.
    pub point: Option<usize>,
    /// Its numbers.
    pub numbers: PaperNumbers,
}

/// Collects what `jobs` say of a figure's points. Give a plan's jobs together with all jobs that they build on.
pub fn plot(name: &str, layout: &FigureLayout, jobs: &[JobDetail]) -> Plot {
    let runs = Runs::new(jobs, layout.series.iter().flat_map(|series| &series.jobs).map(String::as_str));
    Plot {
        name: name.to_owned(),
        title: layout.title.clone(),
        kind: layout.kind,
        submission: runs.table.submission,
        series: layout.series.iter().map(|series| of_series(series, &runs)).collect(),
        remarks: runs.table.remarks.clone(),
    }
}

fn of_series(series: &Series, runs: &Runs<'_>) -> PlotSeries {
    let points: Vec<Point> = series.jobs.iter().flat_map(|job| points(job, runs)).collect();
    let paper = series.paper.iter().map(|mark| PaperMark {
        job: mark.job.clone(),
        point: place(&mark.job, &points),
        numbers: mark.numbers.clone(),
    });
    PlotSeries { label: series.label.clone(), paper: paper.collect(), points }
}

/// The points of a job: one per variant of it, or one of nothing where the plan has no such job.
fn points(job: &str, runs: &Runs<'_>) -> Vec<Point> {
    let variants = runs.variants(job);
    if variants.is_empty() {
        return vec![Point { job: job.to_owned(), network: None, lambda: None, ours: Measures::of(Vec::new()) }];
    }
    let point = |variant: Variant| Point {
        job: variant.name,
        network: variant.runs.first().map(|run| run.row.network),
        lambda: variant.runs.first().and_then(|run| run.lambda),
        ours: Measures::of(variant.runs),
    };
    variants.into_iter().map(point).collect()
}

/// The point of that name or, where a sweep made several of it, none: the paper's point is of one of them alone.
fn place(job: &str, points: &[Point]) -> Option<usize> {
    let is_variant = |point: &Point| point.job.strip_prefix(job).is_some_and(|rest| rest.starts_with('['));
    let exact = points.iter().position(|point| point.job == job);
    let mut variants = points.iter().enumerate().filter(|(_, point)| is_variant(point)).map(|(index, _)| index);
    exact.or_else(|| variants.next().filter(|_| variants.next().is_none()))
}

impl PlotSeries {
    /// The paper's numbers of the point with that index.
    pub(crate) fn paper_of(&self, point: usize) -> Option<&PaperNumbers> {
        self.paper.iter().find(|mark| mark.point == Some(point)).map(|mark| &mark.numbers)
    }
}

impl Plot {
    /// The attacks of the robust accuracies; several where points are of different threats.
    pub fn attacks(&self) -> Vec<&AttackSpec> {
        attacks(self.series.iter().flat_map(|series| &series.points).flat_map(|point| &point.ours.runs))
    }

    /// Draws it as SVG, 920 pixels wide.
    ///
    /// Text is left to the viewer's sans-serif font.
    ///
    /// # Errors
    /// [`ReportError::NoPoints`] where neither the plan nor the paper has one.
    pub fn to_svg(&self) -> Result<String, ReportError> {
        figure::chart(self)
    }

    /// The points as aligned text for terminals, and where they come from.
    pub fn to_text(&self) -> String {
        let points = text::render(&self.heading(), &sheet::sheet(self));
        points + &format!("\n{}", text::render("Provenance", &provenance_sheet::sheet(self.provenances())))
    }

    /// The same as GitHub-flavoured Markdown.
    pub fn to_markdown(&self) -> String {
        let points = format!("### {}\n\n{}", markdown::escape(&self.heading()), markdown::render(&sheet::sheet(self)));
        points + &format!("\n#### Provenance\n\n{}", markdown::render(&provenance_sheet::sheet(self.provenances())))
    }

    /// The same as LaTeX `tabular`s that need the package booktabs.
    pub fn to_latex(&self) -> String {
        let points = format!("% {}\n{}", latex::escape(&self.heading()), latex::render(&sheet::sheet(self)));
        points + &format!("\n% Provenance\n{}", latex::render(&provenance_sheet::sheet(self.provenances())))
    }

    /// Comma-separated values (RFC 4180), one line per point: raw counts, fractions and microseconds.
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
        let points = self.series.iter().flat_map(|series| &series.points);
        points.flat_map(|point| point.ours.runs.iter().map(|run| (point.job.as_str(), &run.provenance)))
    }
}

/// A figure's kind in CSV and JSON.
pub(crate) fn kind_name(kind: FigureKind) -> &'static str {
    match kind {
        FigureKind::AccuracyOverTime => "accuracy-over-time",
        FigureKind::TrainingTime => "training-time",
        FigureKind::AccuracyOverLambda => "accuracy-over-lambda",
        FigureKind::AccuracyByNetwork => "accuracy-by-network",
    }
}
