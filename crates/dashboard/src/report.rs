//! A plan's report: the table of `rrm report`, under an address that stays.

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{PreEscaped, html};
use rrm_report::Table;
use rrm_spec::SubmissionId;

use crate::error::PageError;
use crate::frame;
use crate::known::with_ancestors;
use crate::page::number;
use crate::site::Site;

/// What a report can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Csv,
    Json,
    Markdown,
    Latex,
    Drawing,
}

impl Form {
    /// Forms that are files, with their endings.
    const FILES: [(&'static str, Self); 5] = [
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("md", Self::Markdown),
        ("tex", Self::Latex),
        ("svg", Self::Drawing),
    ];
}

/// `/reports/3`, `/reports/3.csv` and so on.
pub(crate) async fn answer(State(site): State<Site>, Path(name): Path<String>) -> Result<Response, PageError> {
    let (id, form) = match name.rsplit_once('.') {
        None => (name.as_str(), Form::Page),
        Some((id, ending)) => {
            let known = Form::FILES.into_iter().find(|(it, _)| *it == ending);
            let what = || format!("A report can be had as csv, json, md, tex or svg, not as {ending}.");
            (id, known.ok_or_else(|| PageError::NotFound { what: what() })?.1)
        }
    };
    let id: SubmissionId = number("plan", id)?;
    let table = read(&site, id).await?;
    Ok(match form {
        Form::Page => page(id, &table).into_response(),
        Form::Csv => file(id, "csv", "text/csv; charset=utf-8; header=present", table.to_csv()),
        Form::Json => file(id, "json", "application/json", format!("{:#}\n", table.to_json())),
        Form::Markdown => file(id, "md", "text/markdown; charset=utf-8", table.to_markdown()),
        Form::Latex => file(id, "tex", "application/x-tex", table.to_latex()),
        Form::Drawing => ([(CONTENT_TYPE, "image/svg+xml")], rrm_report::figure(&table)?).into_response(),
    })
}

async fn read(site: &Site, id: SubmissionId) -> Result<Table, PageError> {
    let _desk = site.desks.acquire().await.expect("nobody closes the semaphore");
    let plan = site.store.plan(id).await?;
    let ids = site.store.jobs_of(id).await?;
    let mut table = rrm_report::table(&with_ancestors(site, &ids).await?);
    // The plan that was asked for, also where all its networks are of others.
    table.plan = plan.name;
    table.submission = Some(id);
    Ok(table)
}

fn file(id: SubmissionId, ending: &str, kind: &'static str, content: String) -> Response {
    let name = format!("inline; filename=\"report-{id}.{ending}\"");
    ([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, name)], content).into_response()
}

fn page(id: SubmissionId, table: &Table) -> impl IntoResponse {
    let body = html! {
        h1 { "Report of plan " (id) " · " (table.plan) }
        p {
            a href={ "/plans/" (id) } { "Plan" } " · The same as "
            @for (place, (ending, _)) in Form::FILES.into_iter().enumerate() {
                @if place > 0 { ", " }
                a href={ "/reports/" (id) "." (ending) } { (ending) }
            }
            ". This address stays."
        }
        @if table.rows.is_empty() { p.none { "The plan trains no network." } } @else {
            // Escaped where it is made.
            div.wide tabindex="0" role="region" aria-label="Report" { (PreEscaped(table.to_html())) }
            figure.drawing { img src={ "/reports/" (id) ".svg" } alt="Accuracies and training times, as in the table"; }
        }
    };
    frame::whole(&format!("Report {id}"), &body, None)
}
