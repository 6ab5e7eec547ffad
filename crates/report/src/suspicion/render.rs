//! Findings as text for terminals.

use super::{Finding, Level, Suspicion};

/// Lines are broken at this width.
const WIDTH: usize = 100;

pub(super) fn text(suspicion: &Suspicion) -> String {
    let jobs: Vec<String> = suspicion.jobs.iter().map(ToString::to_string).collect();
    let from = if jobs.is_empty() { "none that has succeeded".to_owned() } else { jobs.join(", ") };
    let counts = format!(
        "{} suspicious, {} ok, {} not measured",
        suspicion.count(Level::Suspicious),
        suspicion.count(Level::Ok),
        suspicion.count(Level::NotMeasured)
    );
    let mut lines = vec![suspicion.network.clone(), format!("evaluations: {from}"), counts];
    for level in [Level::Suspicious, Level::Ok, Level::NotMeasured] {
        for finding in suspicion.findings.iter().filter(|finding| finding.level == level) {
            lines.push(String::new());
            lines.extend(paragraph(finding));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn paragraph(finding: &Finding) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", word(finding.level), finding.check)];
    lines.extend(wrapped("found ", &finding.found));
    if finding.level == Level::Suspicious {
        lines.extend(wrapped("why   ", finding.why));
        lines.extend(wrapped("do    ", finding.advice));
        lines.extend(wrapped("source", finding.source));
    }
    lines
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Suspicious => "SUSPICIOUS  ",
        Level::Ok => "ok          ",
        Level::NotMeasured => "not measured",
    }
}

/// The text in lines behind its heading.
fn wrapped(heading: &str, text: &str) -> Vec<String> {
    let mut lines = vec![format!("  {heading}")];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("  {:width$} {word}", "", width = heading.chars().count()));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_below_their_beginning() {
        let lines = wrapped("do", &"word ".repeat(30));
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("  do word") && lines[1].starts_with("     word"), "{lines:?}");
    }
}
