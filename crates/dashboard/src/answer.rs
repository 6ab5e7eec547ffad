//! From a request to a page, or to a stream of what changes on it.

use axum::extract::{Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use rrm_spec::{JobId, SubmissionId};

use crate::error::PageError;
use crate::page::{JobsQuery, Page, Parameters, number};
use crate::site::Site;
use crate::{frame, stream};

type Answer = Result<Response, PageError>;

pub(crate) async fn overview(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    answer(site, Page::Overview, &uri, &headers).await
}

pub(crate) async fn jobs(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let given = Parameters::of(&uri)?;
    let query = JobsQuery {
        states: given.states()?,
        plan: given.id("plan")?,
        text: given.text("text"),
        before: given.id("before")?,
    };
    answer(site, Page::Jobs(query), &uri, &headers).await
}

pub(crate) async fn job(State(site): State<Site>, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Answer {
    let id: JobId = number("job", &id)?;
    let against = Parameters::of(&uri)?.id("against")?;
    answer(site, Page::Job { id, against }, &uri, &headers).await
}

pub(crate) async fn compare(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let jobs = Parameters::of(&uri)?.jobs()?;
    answer(site, Page::Compare(jobs), &uri, &headers).await
}

pub(crate) async fn plans(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    let before = Parameters::of(&uri)?.id("before")?;
    answer(site, Page::Plans { before }, &uri, &headers).await
}

pub(crate) async fn plan(State(site): State<Site>, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Answer {
    let id: SubmissionId = number("plan", &id)?;
    answer(site, Page::Plan(id), &uri, &headers).await
}

pub(crate) async fn workers(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Answer {
    answer(site, Page::Workers, &uri, &headers).await
}

pub(crate) async fn nowhere() -> PageError {
    PageError::NotFound { what: "There is no such page.".to_owned() }
}

/// The page itself or, for who asks for events, what changes on it.
async fn answer(site: Site, page: Page, uri: &Uri, headers: &HeaderMap) -> Answer {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.starts_with("text/event-stream") {
        let since = since(uri, headers)?;
        return Ok(stream::stream(site, page, since)?.into_response());
    }
    // Before the page: what happens meanwhile is told again, not passed over.
    let seq = site.store.newest_event().await?;
    let view = page.view(&site).await?;
    Ok(frame::whole(&view.title, &view.body(), Some(seq)).into_response())
}

/// The newest event that the reader knows: what a browser says when it comes back, or else what its page was made with.
fn since(uri: &Uri, headers: &HeaderMap) -> Result<Option<i64>, PageError> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    match last {
        Some(text) => number("Last-Event-ID", text).map(Some),
        None => Parameters::of(uri)?.id("since"),
    }
}
