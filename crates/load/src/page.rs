//! The results as a section of `docs/performance.md`.

use std::{fmt::Write, fs, path::Path};

use anyhow::Context;

use crate::row::{Results, Row};

/// What stands between these is written anew; the rest of the page stays.
const MARKS: [&str; 2] =
    ["<!-- written by make bench-scheduler -->", "<!-- end of what make bench-scheduler writes -->"];

/// Looks whether the results will have their place, before minutes are spent on them.
///
/// # Errors
/// When the page cannot be read, or has no marks.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    let page = fs::read_to_string(path)?;
    replaced(&page, "").map(drop).context(NO_PLACE)
}

const NO_PLACE: &str = "the page has no place for the scheduler's results";

/// # Errors
/// When the page cannot be read or written, or has no marks.
pub(crate) fn write(path: &Path, results: &Results) -> anyhow::Result<()> {
    let old = fs::read_to_string(path)?;
    fs::write(path, replaced(&old, &section(results)).context(NO_PLACE)?)?;
    Ok(())
}

fn replaced(page: &str, section: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{section}\n\n{end}{after}"))
}

fn section(results: &Results) -> String {
    let Results { date, revision, processors, sync, .. } = results;
    let mut text = format!(
        "## The scheduler\n\nMeasured by `make bench-scheduler` on {date}, of {revision}, on {processors} processors. 4 KiB are durable on this disk after \
         {:.2} ms (p50) and {:.2} ms (p99).\n\n| system | what | numbers | durable when it answers |\n|---|---|---|---|",
        sync.0, sync.1
    );
    for Row { system, what, numbers, durable } in &results.rows {
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\n| {system} | {what} | {} | {durable} |", numbers.join("<br>"));
    }
    for (peer, why) in &results.skipped {
        let _ = write!(text, "\n\nNot measured: {peer} ({why}).");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Number;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = format!("before\n{}\nold\n{}\nafter\n", MARKS[0], MARKS[1]);
        let new = replaced(&page, "new").unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("\nafter\n"), "{new}");
        assert!(new.contains("\n\nnew\n\n") && !new.contains("old"), "{new}");
        assert_eq!(replaced("no marks", "new"), None);
    }

    #[test]
    fn a_row_shows_numbers_goals_and_what_is_durable() {
        let numbers = vec![Number::new("p50", 4.0, "ms").at_most(5.0), Number::new("p99", 9.0, "ms")];
        let results = Results {
            date: "2026-11-27".into(),
            revision: "abc1234".into(),
            processors: 2,
            sync: (3.5, 7.0),
            rows: vec![Row::ours("submit", numbers)],
            skipped: vec![("slurm".into(), "it is not there".into())],
        };
        let section = section(&results);
        assert!(
            section.contains("| rrmd | submit | p50 4.00 ms (≤ 5.00: met)<br>p99 9.00 ms | what was answered |"),
            "{section}"
        );
        assert!(section.contains("Not measured: slurm (it is not there)."), "{section}");
    }
}
