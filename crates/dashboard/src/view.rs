//! A page as parts: each is put together anew when something has happened, and sent where it has changed.

use maud::{Markup, PreEscaped, html};
use rrm_spec::JobId;

/// A page.
pub(crate) struct View {
    /// What it is called.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) parts: Vec<Part>,
    /// Whose events its list of events shows.
    pub(crate) events: Feed,
    /// Whether it shows the end of a log.
    pub(crate) has_log: bool,
}

/// Part of a page.
pub(crate) struct Part {
    /// Its place in the document.
    pub(crate) id: &'static str,
    pub(crate) content: Markup,
    pub(crate) keeps: Keeps,
}

/// Whether a part changes under a reader's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It is sent again when it has changed.
    Fresh,
    /// It stays as it is: a form, or what never changes; or it grows by itself, as the list of events.
    Still,
}

/// Which events a page lists as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    None,
    All,
    Job(JobId),
}

impl View {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new(), events: Feed::None, has_log: false }
    }

    /// Adds a part that stays as it is.
    pub(crate) fn still(mut self, id: &'static str, content: Markup) -> Self {
        self.parts.push(Part { id, content, keeps: Keeps::Still });
        self
    }

    /// Adds a part that is kept up to date.
    pub(crate) fn fresh(mut self, id: &'static str, content: Markup) -> Self {
        self.parts.push(Part { id, content, keeps: Keeps::Fresh });
        self
    }

    pub(crate) fn body(&self) -> Markup {
        html! {
            h1 { (self.title) }
            @for part in &self.parts { div id=(part.id) { (PreEscaped(&part.content.0)) } }
        }
    }
}
