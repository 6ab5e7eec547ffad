//! The log of everything that happened, as a list.

use maud::{Markup, html};
use rrm_spec::EventView;
use serde_json::Value;

use crate::time::moment;
use crate::words::number_link;

/// Longest text of a value that is shown; the rest is left to the database.
const LONGEST: usize = 160;

/// A list that grows at its top.
pub(crate) fn list(events: &[EventView]) -> Markup {
    html! {
        section {
            h2 { "Events" }
            div.wide {
                table {
                    caption { "Newest first." }
                    thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Of" } th scope="col" { "Details" } } }
                    tbody #entries { @for event in events.iter().rev() { (entry(event)) } }
                }
            }
        }
    }
}

/// One row of it.
pub(crate) fn entry(event: &EventView) -> Markup {
    html! {
        tr data-seq=(event.seq) {
            td { (moment(event.at)) }
            td { code { (event.kind) } }
            td { @if let Some(job) = event.job { (number_link(job)) } }
            td.words { (details(&event.data)) }
        }
    }
}

/// The values of a JSON object, in words.
fn details(data: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(data) else { return shortened(data) };
    if let (Some(to), from) = (fields.get("to").and_then(Value::as_str), fields.get("from").and_then(Value::as_str)) {
        let reason = fields.get("reason").and_then(Value::as_str).map_or_else(String::new, |why| format!(": {why}"));
        let from = from.map_or_else(String::new, |from| format!("{from} → "));
        return shortened(&format!("{from}{to}{reason}"));
    }
    // A path is one of the trainer's machine: of no use here.
    let known = fields.iter().filter(|(name, value)| !value.is_null() && name.as_str() != "path");
    shortened(&known.map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", "))
}

/// A value without the signs that JSON needs around a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let both = (fields.get("correct").and_then(Value::as_u64), fields.get("total").and_then(Value::as_u64));
            match both {
                (Some(correct), Some(total)) => format!("{correct}/{total}"),
                _ => value.to_string(),
            }
        }
        Value::Number(number) => {
            number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), rounded)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) => value.to_string(),
    }
}

/// Four digits: the database has all of them.
fn rounded(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 { format!("{value:.3e}") } else { format!("{value:.4}") }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::JobId;

    use super::*;

    fn event(kind: &str, data: &str) -> EventView {
        EventView { seq: 7, at: 0, job: Some(JobId(3)), attempt: None, kind: kind.into(), data: data.into() }
    }

    #[test]
    fn a_change_of_state_reads_as_a_sentence_and_hostile_text_stays_text() {
        let data = r#"{"from":"running","to":"failed","reason":"<script>alert(1)</script>"}"#;
        let row = entry(&event("job.state", data)).0;
        assert!(row.contains("running → failed: &lt;script&gt;alert(1)"), "{row}");
        assert!(!row.contains("<script"), "{row}");
    }

    #[test]
    fn counts_read_as_fractions_and_long_texts_are_cut() {
        assert_eq!(details(r#"{"epoch":2,"natural":{"correct":1,"total":4},"robust":null}"#), "epoch 2, natural 1/4");
        assert_eq!(
            details(r#"{"loss":1.23456789,"rate":0.00012344,"images":72}"#),
            "images 72, loss 1.2346, rate 1.234e-4"
        );
        let long = details(&format!(r#"{{"message":"{}"}}"#, "ä".repeat(500)));
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
