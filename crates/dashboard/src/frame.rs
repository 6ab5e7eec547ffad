//! What stands around every page.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

const PLACES: [(&str, &str); 5] =
    [("/", "Overview"), ("/jobs", "Jobs"), ("/plans", "Plans"), ("/compare", "Compare"), ("/workers", "Workers")];

/// A page that is whole. `seq` is the number of the newest event that it shows; absent where it does not change by itself.
pub(crate) fn whole(title: &str, body: &Markup, seq: Option<i64>) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – RRM" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                @if seq.is_some() { script src="/live.js" defer {} }
            }
            body data-seq=[seq] {
                a.skip href="#main" { "Skip to content" }
                header {
                    nav aria-label="Pages" {
                        a.brand href="/" { "RRM" }
                        ul { @for (address, name) in PLACES { li { a href=(address) { (name) } } } }
                    }
                    @if seq.is_some() { p #live role="status" { "not live" } }
                }
                main #main tabindex="-1" { (body) }
            }
        }
    };
    Html(page.into_string())
}
