//! Why there is no page.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use maud::html;
use rrm_report::ReportError;
use rrm_store::StoreError;

use crate::frame;

/// What a reader is told instead of a page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// There is nothing at this address.
    #[error("{what}")]
    NotFound {
        /// What there is not.
        what: String,
    },
    /// The address asks for something impossible.
    #[error("{field} = {value:?}: must be {allowed}")]
    Invalid {
        /// The parameter.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// It would be more than a page can hold.
    #[error("{what}")]
    TooMany {
        /// What, and where it can be had.
        what: String,
    },
    /// Too many look at once.
    #[error("too many pages are being watched at once: close some, or try again in a moment")]
    Busy,
    /// The database did not answer.
    #[error("the database could not be read: {0}")]
    Store(StoreError),
    /// A file could not be read.
    #[error("a file could not be read: {0}")]
    Disk(#[from] std::io::Error),
    /// The report could not be drawn.
    #[error("{0}")]
    Report(#[from] ReportError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => Self::NotFound { what: format!("There is no {what}.") },
            other => Self::Store(other),
        }
    }
}

impl PageError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } | Self::Report(_) => StatusCode::NOT_FOUND,
            Self::Invalid { .. } | Self::TooMany { .. } => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Error");
        let body = html! { h1 { (title) } p.error { (self) } p { a href="/" { "Overview" } } };
        let mut response = (status, frame::whole(title, &body, None)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
        }
        response
    }
}
