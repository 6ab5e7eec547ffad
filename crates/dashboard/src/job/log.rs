//! The end of what the newest attempt said.

use maud::{Markup, html};
use rrm_spec::JobDetail;

use crate::error::PageError;
use crate::site::Site;

/// Bytes of the log on the page.
const TAIL: u64 = 8 * 1024;

pub(super) async fn tail(site: &Site, job: &JobDetail) -> Result<Markup, PageError> {
    let Some(attempt) = job.attempts.last() else { return Ok(html! {}) };
    let tail = site.live.log_tail(attempt.id, TAIL).await?;
    let text = readable(&tail.bytes, tail.offset);
    let whole = format!("/jobs/{}/log?attempt={}", job.summary.id, attempt.id);
    Ok(html! {
        h2 { "Log" }
        @if text.is_empty() { p.none { "Attempt " (attempt.id) " has said nothing yet, or its log was deleted." } } @else {
            p { "The end of what attempt " (attempt.id) " said. " a href=(whole) { "All of it" } "." }
            pre.log tabindex="0" role="log" aria-label="Log" { (text) }
        }
    })
}

/// Text without the signs that would move a terminal's cursor; a line that was cut at its beginning is left out.
fn readable(bytes: &[u8], offset: u64) -> String {
    let text = String::from_utf8_lossy(bytes);
    let whole = match (offset, text.split_once('\n')) {
        (0, _) | (_, None) => text.as_ref(),
        (_, Some((_, rest))) => rest,
    };
    whole.replace('\r', "").chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_and_control_characters_are_left_out() {
        assert_eq!(readable(b"cut off\nwhole\r\n\x1b[1mbold\n", 7), "whole\n[1mbold\n");
        assert_eq!(readable(b"from the beginning\n", 0), "from the beginning\n");
        assert_eq!(readable(b"\xff", 0), "\u{fffd}");
    }
}
