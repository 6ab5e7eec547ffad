//! Whether the daemon is well: its database answers.

use axum::extract::State;
use axum::http::StatusCode;

use crate::site::Site;

/// 200 `ok`, or 503 and why not.
pub(crate) async fn answer(State(site): State<Site>) -> (StatusCode, String) {
    if site.live.stopping().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping\n".to_owned());
    }
    match site.store.newest_event().await {
        Ok(_) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("the database does not answer: {error}\n")),
    }
}
