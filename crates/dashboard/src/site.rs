//! Every address and what answers there.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::middleware;
use axum::routing::get;
use rrm_store::{Outcomes, Store};
use tokio::sync::Semaphore;

use crate::{Live, answer, assets, guard, health, log, metrics, report};

/// Pages that are put together at once. The store has four readers, which answer users and workers, too.
const DESKS: usize = 2;

/// Streams at once; a browser has one for each page that is looked at.
pub(crate) const STREAMS: usize = 64;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Programs of this machine, which call it by a name of its own: a page of elsewhere that had its name point here is refused.
    ThisMachine,
    /// Whoever reaches the port.
    Everyone,
}

/// What all pages share. Clones share it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) version: &'static str,
    pub(crate) desks: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    /// Counted so far, so that a scrape reads only what is new.
    pub(crate) outcomes: Arc<Mutex<Outcomes>>,
}

impl Site {
    pub(crate) fn new(store: Store, live: Arc<dyn Live>, version: &'static str) -> Self {
        Self {
            store,
            live,
            version,
            desks: Arc::new(Semaphore::new(DESKS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            outcomes: Arc::default(),
        }
    }
}

/// All pages. Every one is read with GET, and nothing changes anything.
pub(crate) fn router(site: Site, audience: Audience) -> Router {
    Router::new()
        .route("/", get(answer::overview))
        .route("/jobs", get(answer::jobs))
        .route("/jobs/{id}", get(answer::job))
        .route("/jobs/{id}/log", get(log::download))
        .route("/compare", get(answer::compare))
        .route("/plans", get(answer::plans))
        .route("/plans/{id}", get(answer::plan))
        .route("/workers", get(answer::workers))
        .route("/reports/{name}", get(report::answer))
        .route("/metrics", get(metrics::answer))
        .route("/healthz", get(health::answer))
        .route("/style.css", get(assets::style))
        .route("/live.js", get(assets::script))
        .route("/icon.svg", get(assets::icon))
        .fallback(answer::nowhere)
        .layer(middleware::from_fn(move |request, next| guard::guard(audience, request, next)))
        .with_state(site)
}
