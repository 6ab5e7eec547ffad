//! A job's states over time.

use maud::{Markup, html};
use rrm_spec::{EventView, JobState};
use serde_json::Value;

use crate::time::{between, moment};
use crate::words::{sign, state};

/// Units of the drawing's width.
const WIDTH: f64 = 640.0;

/// A state that the job has, or had.
struct Span {
    state: JobState,
    from: i64,
    /// Absent where it is the present one.
    to: Option<i64>,
    reason: Option<String>,
}

/// From the events of kind `job.state`, in order.
pub(super) fn timeline(events: &[EventView], ended_at: Option<i64>) -> Markup {
    let spans = spans(events);
    html! {
        @if !spans.is_empty() {
            h2 { "States" }
            (drawing(&spans, ended_at))
            ol.states {
                @for span in &spans {
                    li {
                        (state(span.state)) " from " (moment(span.from))
                        @if let Some(to) = span.to { " for " (between(span.from, to)) }
                        @if let Some(reason) = &span.reason { ": " span.words { (reason) } }
                    }
                }
            }
        }
    }
}

fn spans(events: &[EventView]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for event in events {
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else { continue };
        let Some(state) = data["to"].as_str().and_then(JobState::from_name) else { continue };
        if let Some(last) = spans.last_mut() {
            last.to = Some(event.at);
        }
        spans.push(Span { state, from: event.at, to: None, reason: data["reason"].as_str().map(str::to_owned) });
    }
    spans
}

/// A bar of what is over; the present state has no length yet.
fn drawing(spans: &[Span], ended_at: Option<i64>) -> Markup {
    let begin = spans.first().map_or(0, |span| span.from);
    let end = ended_at.or(spans.last().map(|span| span.from)).unwrap_or(begin);
    let whole = (end - begin) as f64;
    html! {
        @if whole > 0.0 {
            svg.timeline viewBox=(format!("0 0 {WIDTH} 28")) role="img" aria-label="How long the job was in each state; the list below says the same" {
                @for span in spans {
                    @let left = (span.from - begin) as f64 / whole * WIDTH;
                    @let width = (span.to.unwrap_or(end) - span.from) as f64 / whole * WIDTH;
                    @if width > 0.0 {
                        rect class=(span.state.name()) x=(format!("{left:.1}")) y="2" width=(format!("{:.1}", width.max(1.0))) height="24" {}
                        @if width > 16.0 { text x=(format!("{:.1}", left + 4.0)) y="19" { (sign(span.state)) @if width > 80.0 { " " (span.state.name()) } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, to: &str) -> EventView {
        let data = format!(r#"{{"from":null,"to":"{to}","reason":null}}"#);
        EventView { seq: at, at, job: None, attempt: None, kind: "job.state".into(), data }
    }

    #[test]
    fn a_state_lasts_until_the_next_one() {
        let spans = spans(&[event(0, "queued"), event(4_000_000, "running"), event(9_000_000, "succeeded")]);
        let lengths: Vec<_> = spans.iter().map(|it| (it.state, it.to.map(|to| to - it.from))).collect();
        let expected =
            [(JobState::Queued, Some(4_000_000)), (JobState::Running, Some(5_000_000)), (JobState::Succeeded, None)];
        assert_eq!(lengths, expected);
        let drawn = drawing(&spans, Some(9_000_000)).0;
        assert_eq!(drawn.matches("<rect").count(), 2, "the last has no length: {drawn}");
    }
}
