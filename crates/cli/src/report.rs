//! `rrm report`: what a plan gave.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use rrm_report::Table;
use rrm_spec::{JobDetail, JobId};

use crate::{
    arguments::{ReportArguments, TableFormat},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(crate) async fn run(arguments: &ReportArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let format = table_format(arguments, output)?;
    let plan = daemon.plan_jobs(arguments.plan).await.map_err(|failure| failure.context("report"))?;
    let jobs = with_ancestors(plan.iter().map(|job| job.id).collect(), daemon).await?;
    let table = rrm_report::table(&jobs);
    if let Some(path) = &arguments.figure {
        draw(&table, path)?;
        output.note(&format!("figure: {}", path.display()));
    }
    match format {
        TableFormat::Text => output.text(&table.to_text())?,
        TableFormat::Markdown => output.text(&table.to_markdown())?,
        TableFormat::Csv => output.text(&table.to_csv())?,
        TableFormat::Latex => output.text(&table.to_latex())?,
        TableFormat::Json => output.document(table.to_json())?,
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

/// Complete or not at all: written beside its place and renamed.
fn draw(table: &Table, path: &Path) -> Result<(), Failure> {
    let svg = rrm_report::figure(table)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let written = fs::write(&beside, svg).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| Failure::file("write the figure", path, &error))
}
