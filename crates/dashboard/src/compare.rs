//! Several jobs beside each other.

use maud::{Markup, html};
use rrm_report::{Measurement, Row, Table};
use rrm_spec::{Accuracy, EpochRecord, JobDetail, JobId};

use crate::chart::{Chart, Draws, Series, chart};
use crate::diff;
use crate::error::PageError;
use crate::known::with_ancestors;
use crate::page::COMPARED;
use crate::site::Site;
use crate::time::duration;
use crate::view::View;
use crate::words::{job_link, percent, standing};

const US_PER_HOUR: f64 = 3.6e9;

pub(crate) async fn view(site: &Site, ids: &[JobId]) -> Result<View, PageError> {
    let view = View::new("Compare").still("choice", choice(ids));
    if ids.is_empty() {
        return Ok(view);
    }
    let known = with_ancestors(site, ids).await?;
    // Of what they build on, and of the evaluations that measured them, the report makes rows and numbers.
    let evaluations = evaluations(site, ids).await?;
    let table = rrm_report::table(&[known.clone(), evaluations].concat());
    let jobs: Vec<&JobDetail> = ids.iter().filter_map(|id| known.iter().find(|job| job.summary.id == *id)).collect();
    Ok(view
        .fresh("table", summary(&jobs, &table))
        .fresh("curves", curves(&jobs))
        .fresh("scatter", scatter(&jobs, &table))
        .fresh("specs", specs(&jobs)))
}

/// Evaluations of these jobs that are not among them.
async fn evaluations(site: &Site, ids: &[JobId]) -> Result<Vec<JobDetail>, PageError> {
    const MOST: u32 = 50;
    let mut found = Vec::new();
    for id in ids {
        for child in site.store.children(*id, MOST).await? {
            let is_new = !ids.contains(&child) && found.iter().all(|job: &JobDetail| job.summary.id != child);
            if is_new {
                found.push(site.store.job(child).await?);
            }
        }
    }
    found.retain(|job| matches!(job.spec, rrm_spec::JobSpec::Evaluate(_)));
    Ok(found)
}

fn choice(ids: &[JobId]) -> Markup {
    let text = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    html! {
        form method="get" action="/compare" {
            label { "Job numbers, up to " (COMPARED) " " input type="text" name="jobs" value=(text) placeholder="1,2,3" required; }
            " " button type="submit" { "Compare" }
        }
        @if ids.is_empty() { p { "Write the numbers of jobs, or tick them in the " a href="/jobs" { "list of jobs" } "." } }
    }
}

fn row<'t>(table: &'t Table, job: &JobDetail) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.job == job.summary.id)
}

/// Natural accuracy, and that under the report's first attack that the network was measured with.
fn measured(table: &Table, job: &JobDetail) -> (Option<Accuracy>, Option<(Accuracy, String)>) {
    let Some(row) = row(table, job) else {
        let newest = job.evaluations.last();
        let label = |it: &rrm_spec::EvaluationRecord| (it.robust, it.attack.label());
        return (newest.map(|it| it.natural), newest.map(label));
    };
    let named = |(place, robust): (usize, &Measurement)| Some((robust.accuracy()?, table.attacks[place].label()));
    (row.natural.accuracy(), row.robust.iter().enumerate().find_map(named))
}

fn summary(jobs: &[&JobDetail], table: &Table) -> Markup {
    html! {
        h2 { "Numbers" }
        div.wide {
            table {
                caption { "Training time is the training loop alone; “with all that it builds on” adds the training of its teacher and of all before" }
                thead { tr {
                    th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Natural" } th scope="col" { "Under attack" }
                    th scope="col" { "Attack" } th scope="col" { "Final loss" } th scope="col" { "Training time" }
                    th scope="col" { "With all that it builds on" }
                } }
                tbody { @for job in jobs { (summary_row(job, table)) } }
            }
        }
    }
}

fn summary_row(job: &JobDetail, table: &Table) -> Markup {
    let (natural, robust) = measured(table, job);
    let row = row(table, job);
    let time = |us: Option<u64>| us.map_or_else(|| "–".to_owned(), duration);
    let (robust, attack) = robust.unzip();
    html! {
        tr {
            th scope="row" { (job_link(&job.summary)) }
            td { (standing(&job.summary)) }
            td.number { (percent(natural)) }
            td.number { (percent(robust)) }
            td { (attack.unwrap_or_default()) }
            td.number { @if let Some(last) = job.epochs.last() { (format!("{:.4}", last.loss)) } @else { "–" } }
            td.number { (time(row.and_then(|row| row.training_us))) }
            td.number { (time(row.and_then(|row| row.training_with_teacher_us))) }
        }
    }
}

fn curves(jobs: &[&JobDetail]) -> Markup {
    let series = |of: fn(&EpochRecord) -> Option<f64>| -> Vec<Series> {
        let one = |(style, job): (usize, &&JobDetail)| Series {
            name: format!("#{} {}", job.summary.id, job.summary.name),
            style,
            points: job.epochs.iter().filter_map(|it| Some((f64::from(it.epoch), of(it)?))).collect(),
        };
        jobs.iter().enumerate().map(one).collect()
    };
    let drawing = |id, title, y, series| chart(Chart { id, title, x: "epoch", y, draws: Draws::Lines, series });
    let natural = series(|it| Some(100.0 * it.natural.fraction()?));
    let robust = series(|it| Some(100.0 * it.robust?.fraction()?));
    html! {
        @if jobs.iter().any(|job| !job.epochs.is_empty()) {
            h2 { "Curves" }
            div.charts {
                (drawing("natural-title", "Natural accuracy", "accuracy, %", natural))
                (drawing("robust-title", "Accuracy under the validation's attack", "accuracy, %", robust))
                (drawing("loss-title", "Training loss", "loss", series(|it| Some(it.loss))))
            }
        }
    }
}

/// Accuracy against device-hours: what a network costs, and what it is worth.
fn scatter(jobs: &[&JobDetail], table: &Table) -> Markup {
    let mut series = Vec::new();
    for (style, job) in jobs.iter().enumerate() {
        let Some(row) = row(table, job) else { continue };
        let Some(us) = row.training_with_teacher_us.or(row.training_us) else { continue };
        let (natural, robust) = measured(table, job);
        // The attack's number is what a robust network is for; where there is none, the natural one.
        let Some((accuracy, kind)) = robust.map(|it| (it.0, "under attack")).or(natural.map(|it| (it, "natural")))
        else {
            continue;
        };
        let Some(fraction) = accuracy.fraction() else { continue };
        let name = format!("#{} {} ({kind})", job.summary.id, job.summary.name);
        series.push(Series { name, style, points: vec![(us as f64 / US_PER_HOUR, 100.0 * fraction)] });
    }
    let title = "Accuracy against device-hours of training, with all that it builds on";
    let chart =
        chart(Chart { id: "cost-title", title, x: "device-hours", y: "accuracy, %", draws: Draws::Points, series });
    html! { @if !chart.0.is_empty() { h2 { "What it costs" } div.charts { (chart) } } }
}

/// Each beside the first.
fn specs(jobs: &[&JobDetail]) -> Markup {
    html! {
        @if let [first, others @ ..] = jobs {
            @if !others.is_empty() {
                h2 { "Specs" }
                @for other in others { (diff::table(first, other)) }
            }
        }
    }
}
