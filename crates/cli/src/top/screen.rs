//! The terminal as a whole, in its second buffer: what was on it comes back.

use std::io::Write;

use crate::{
    exit::Failure,
    output::{Output, Tone},
};

/// Where the terminal does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

pub(super) struct Screen;

impl Screen {
    pub(super) fn open() -> Self {
        // Second buffer, no cursor. What cannot be written is noticed by the first picture.
        let _ = std::io::stdout().write_all(b"\x1b[?1049h\x1b[?25l");
        Self
    }

    /// As many lines as fit, each as long as fits, and a last one on how to leave.
    pub(super) fn draw(&mut self, lines: &[String], remark: Option<&str>, output: Output) -> Result<(), Failure> {
        let (width, height) = size();
        let rows = height.saturating_sub(1).max(1);
        let mut text = "\x1b[H".to_owned();
        for line in fitting(lines, rows) {
            text.push_str(&clipped(&line, width));
            text.push_str("\x1b[K\r\n");
        }
        text.push_str(&output.paint(remark.unwrap_or("q quits"), Tone::Faint));
        text.push_str("\x1b[J");
        output.text(&text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut stdout = std::io::stdout();
        // A terminal that is gone needs nothing.
        let _ = stdout.write_all(b"\x1b[?25h\x1b[?1049l");
        let _ = stdout.flush();
    }
}

fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or(USUAL, |(width, height)| (width.0.into(), height.0.into()))
}

fn fitting(lines: &[String], rows: usize) -> Vec<String> {
    if lines.len() <= rows {
        return lines.to_vec();
    }
    let mut shown = lines[..rows - 1].to_vec();
    shown.push(format!("… {} more lines", lines.len() - shown.len()));
    shown
}

/// The first `width` characters; escape sequences take no place, and colour ends with the line.
fn clipped(line: &str, width: usize) -> String {
    let (mut text, mut place, mut in_escape) = (String::new(), 0, false);
    for character in line.chars() {
        match (in_escape, character) {
            (true, _) => in_escape = character != 'm',
            (false, '\x1b') => in_escape = true,
            (false, _) => {
                place += 1;
                if place > width {
                    text.push_str("\x1b[0m");
                    break;
                }
            }
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_clipped_by_what_is_seen() {
        assert_eq!(clipped("\x1b[32mabc\x1b[0m", 3), "\x1b[32mabc\x1b[0m");
        assert_eq!(clipped("\x1b[32mabcd\x1b[0m", 3), "\x1b[32mabc\x1b[0m");
        assert_eq!(clipped("abcd", 2), "ab\x1b[0m");
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let lines: Vec<String> = (0..9).map(|line| line.to_string()).collect();
        assert_eq!(fitting(&lines, 9).len(), 9);
        assert_eq!(fitting(&lines, 4), ["0", "1", "2", "… 6 more lines"]);
    }
}
