//! `rrm report`: what a plan gave, network by network or in the form of a table or figure of the paper.

mod content;
mod file;
mod png;
mod recipe;

use std::collections::{BTreeMap, BTreeSet};

use rrm_api::ApiError;
use rrm_recipes::Layout;
use rrm_report::{Outcomes, Study};
use rrm_spec::{ImageOutcome, JobDetail, JobId, JobSummary};
use tokio_stream::StreamExt;

use crate::{
    arguments::{ReportArguments, TableFormat},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::{PlanSelector, ReportSubject},
};

use content::Content;
use file::{DrawingFormat, Ending};

pub(crate) async fn run(arguments: &ReportArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    // What is wrong with the command line is said before the daemon is asked anything.
    let format = table_format(arguments, output)?;
    let ending = arguments.output.as_deref().map(Ending::of).transpose()?;
    let drawing = |path| DrawingFormat::of(path).map(|format| (path, format));
    let figure = arguments.figure.as_deref().map(drawing).transpose()?;
    let plan = plan(arguments)?;
    let report = content(arguments, plan, daemon).await?;
    if let Some((path, format)) = figure {
        file::write(path, &draw(&report, format)?)?;
        output.note(&format!("figure: {}", path.display()));
    }
    match (ending, &arguments.output) {
        (Some(ending), Some(path)) => {
            let written = match ending {
                Ending::Table(format) => report.written(format).into_bytes(),
                Ending::Drawing(format) => draw(&report, format)?,
            };
            file::write(path, &written)?;
            output.note(&format!("report: {}", path.display()));
            if output.format() == Format::Json {
                output.document(serde_json::json!({"written": path}))?;
            }
        }
        _ if format == TableFormat::Json => output.document(report.to_json())?,
        _ => output.text(&report.written(format))?,
    }
    Ok(Exit::Done)
}

fn table_format(arguments: &ReportArguments, output: Output) -> Result<TableFormat, Failure> {
    match (output.format(), arguments.format) {
        (Format::Json, None | Some(TableFormat::Json)) => Ok(TableFormat::Json),
        (Format::Json, Some(_)) => Err(Failure::new(Exit::Invalid, "--json and --format contradict each other")),
        (Format::Human | Format::Ids, format) => Ok(format.unwrap_or(TableFormat::Text)),
    }
}

/// The plan that was named, in one way or the other.
fn plan(arguments: &ReportArguments) -> Result<Option<PlanSelector>, Failure> {
    match (&arguments.subject, arguments.plan) {
        (Some(ReportSubject::Plan(_)), Some(_)) => {
            Err(Failure::new(Exit::Invalid, "two plans are named: write one, or a table or figure and its --plan"))
        }
        (Some(ReportSubject::Plan(plan)), None) => Ok(Some(*plan)),
        (Some(ReportSubject::Recipe(_)) | None, plan) => Ok(plan),
    }
}

async fn content(arguments: &ReportArguments, plan: Option<PlanSelector>, daemon: &Daemon) -> Result<Content, Failure> {
    let (name, layout, plan) = match (&arguments.layout, &arguments.subject) {
        (Some(_), Some(ReportSubject::Recipe(name))) => {
            return Err(Failure::new(Exit::Invalid, format!("--layout and {name} contradict each other")));
        }
        (Some(file), Some(ReportSubject::Plan(_)) | None) => {
            let (name, layout) = recipe::read(file)?;
            (name, layout, plan.unwrap_or(PlanSelector::Last))
        }
        (None, Some(ReportSubject::Recipe(name))) => of_recipe(name, plan, daemon).await?,
        (None, Some(ReportSubject::Plan(_)) | None) => {
            let jobs = jobs(plan.unwrap_or(PlanSelector::Last), daemon).await?;
            return Ok(Content::Plan(rrm_report::table(&jobs)));
        }
    };
    let jobs = jobs(plan, daemon).await?;
    match layout {
        Layout::Table(layout) => {
            let study = rrm_report::study(&name, &layout, &jobs);
            let outcomes = outcomes(&study, daemon).await?;
            Ok(Content::Table(study.with_outcomes(&outcomes)))
        }
        Layout::Figure(layout) => Ok(Content::Figure(rrm_report::plot(&name, &layout, &jobs))),
    }
}

/// The recipe's whole name and layout, and the plan to look its jobs up in.
async fn of_recipe(
    name: &str,
    plan: Option<PlanSelector>,
    daemon: &Daemon,
) -> Result<(String, Layout, PlanSelector), Failure> {
    let meant = recipe::meant(name)?;
    let names: Vec<String> = meant.iter().map(|(name, _)| name.clone()).collect();
    let (plan, place) = match plan {
        // A plan of another name is looked at in the form of the first.
        Some(plan) => (plan, place_of(&daemon.plan_jobs(plan).await?, &names).unwrap_or(0)),
        None => {
            let (plan, found) = daemon.newest_plan_named(&names).await?.ok_or_else(|| no_plan(&names))?;
            (PlanSelector::Id(plan), names.iter().position(|name| *name == found).unwrap_or(0))
        }
    };
    let (name, layout) = meant.into_iter().nth(place).expect("a name means at least one recipe");
    Ok((name, layout, plan))
}

/// Which of the names is that of the jobs' plan. Jobs that a plan found done already have the name of another one.
fn place_of(jobs: &[JobSummary], names: &[String]) -> Option<usize> {
    names.iter().position(|name| jobs.iter().any(|job| job.plan == *name))
}

fn no_plan(names: &[String]) -> Failure {
    let next = names.iter().map(|name| format!("`rrm submit --recipe {name}`")).collect::<Vec<_>>().join(" or ");
    Failure::new(Exit::NotFound, format!("there is no plan named {}", names.join(" or ")))
        .next(format!("submit it with {next}, or name another plan that has its jobs with --plan"))
}

/// A plan's jobs and all that they build on, of whatever plan.
async fn jobs(plan: PlanSelector, daemon: &Daemon) -> Result<Vec<JobDetail>, Failure> {
    let plan = daemon.plan_jobs(plan).await.map_err(|failure| failure.context("report"))?;
    with_ancestors(plan.iter().map(|job| job.id).collect(), daemon).await
}

/// These jobs and all that they build on, of whatever plan.
async fn with_ancestors(ids: BTreeSet<JobId>, daemon: &Daemon) -> Result<Vec<JobDetail>, Failure> {
    let mut known: BTreeMap<JobId, JobDetail> = BTreeMap::new();
    let mut open: Vec<JobId> = ids.into_iter().collect();
    while let Some(id) = open.pop() {
        if known.contains_key(&id) {
            continue;
        }
        let job = daemon.client.job(id).await.map_err(|e| Failure::from(e).context(format!("read job {id}")))?;
        open.extend(&job.parents);
        known.insert(id, job);
    }
    Ok(known.into_values().collect())
}

/// What became of each image, as far as the daemon has kept it.
async fn outcomes(study: &Study, daemon: &Daemon) -> Result<Outcomes, Failure> {
    let mut outcomes = Outcomes::new();
    for job in study.evaluations() {
        match images(job, daemon).await {
            Ok(images) => {
                outcomes.insert(job, images);
            }
            Err(ApiError::NotFound { .. }) => {}
            Err(error) => return Err(Failure::from(error).context(format!("read the images of job {job}"))),
        }
    }
    Ok(outcomes)
}

/// The outcomes of an evaluation's images; of one with several radii, under the largest.
async fn images(job: JobId, daemon: &Daemon) -> Result<Vec<ImageOutcome>, ApiError> {
    let mut pages = daemon.client.images(job).await?;
    let (mut radius, mut outcomes) = (None, Vec::new());
    while let Some(page) = pages.next().await.transpose()? {
        if radius.replace(page.evaluation) != Some(page.evaluation) {
            outcomes.clear();
        }
        outcomes.extend(page.images);
    }
    Ok(outcomes)
}

fn draw(report: &Content, format: DrawingFormat) -> Result<Vec<u8>, Failure> {
    let svg = report.to_svg()?;
    match format {
        DrawingFormat::Svg => Ok(svg.into_bytes()),
        DrawingFormat::Png => png::png(&svg),
    }
}
