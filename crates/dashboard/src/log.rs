//! An attempt's whole log, as text.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rrm_spec::{AttemptId, JobId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::PageError;
use crate::page::{Parameters, number};
use crate::site::Site;

/// Pieces that wait for a slow reader; no more is read before they are taken.
const BACKLOG: usize = 2;

/// The log of `?attempt=`, or of the job's newest attempt, as it is now.
pub(crate) async fn download(
    State(site): State<Site>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, PageError> {
    let job: JobId = number("job", &id)?;
    let wanted: Option<AttemptId> = Parameters::of(&uri)?.id("attempt")?;
    let attempts = site.store.attempts(job).await?;
    let attempt = match wanted {
        Some(wanted) => attempts.iter().find(|it| it.id == wanted),
        None => attempts.last(),
    };
    let what = || format!("Job {job} has no such attempt.");
    let attempt = attempt.ok_or_else(|| PageError::NotFound { what: what() })?.id;
    let (pieces, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(read(site, attempt, pieces));
    // Never anything that a browser would interpret.
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(ReceiverStream::new(receiver)))
        .into_response())
}

async fn read(site: Site, attempt: AttemptId, pieces: mpsc::Sender<std::io::Result<Bytes>>) {
    let mut offset = 0;
    loop {
        let piece = site.live.log(attempt, offset).await;
        let length = piece.as_ref().map_or(0, Bytes::len);
        let is_last = length == 0;
        offset += length as u64;
        // An error is the last piece, and told; an empty one is the end.
        let is_told = !is_last || piece.is_err();
        if (is_told && pieces.send(piece).await.is_err()) || is_last {
            return;
        }
    }
}
