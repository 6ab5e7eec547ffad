//! One line of a diagnosis.

use serde_json::{Value, json};

use crate::{
    columns::{Cell, Columns, Side},
    exit::Failure,
    output::{Format, Output, Tone},
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// It works, but it might not for long, or not for everybody.
    Warning,
    /// Something does not work.
    Problem,
}

/// What was found about one thing.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    check: &'static str,
    severity: Severity,
    what: String,
    /// What to do; absent where all is well.
    next: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, what: what.into(), next: None }
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warning, what: what.into(), next: Some(next.into()) }
    }

    pub(super) fn problem(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, severity: Severity::Problem, what: what.into(), next: Some(next.into()) }
    }

    /// Why a step of the diagnosis itself failed.
    pub(super) fn of_failure(check: &'static str, failure: impl Into<Failure>) -> Self {
        let failure: Failure = failure.into();
        let next = failure.next_step().unwrap_or("correct what is named").to_owned();
        Self::problem(check, failure.what(), next)
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Busy,
            Self::Problem => Tone::Bad,
        }
    }
}

/// All that was found, in the order of looking.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn any_problem(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Problem)
    }

    pub(super) fn show(&self, output: Output) -> Result<(), Failure> {
        match output.format() {
            Format::Json => {
                let checks: Vec<Value> = self.0.iter().map(document).collect();
                output.document(json!({ "checks": checks, "problems": self.any_problem() }))
            }
            Format::Ids => {
                let amiss = self.0.iter().filter(|finding| finding.severity != Severity::Ok);
                amiss.map(|finding| finding.check).try_for_each(|check| output.line(check))
            }
            Format::Human => output.text(&self.table(output)),
        }
    }

    fn table(&self, output: Output) -> String {
        let mut columns = Columns::new([("result", Side::Left), ("check", Side::Left), ("finding", Side::Left)]);
        for finding in &self.0 {
            let result = Cell::toned(finding.severity.name(), finding.severity.tone());
            columns.push([result, finding.check.into(), finding.what.as_str().into()]);
            if let Some(next) = &finding.next {
                columns.push(["".into(), "".into(), Cell::toned(format!("next: {next}"), Tone::Plain)]);
            }
        }
        columns.render(output)
    }
}

fn document(finding: &Finding) -> Value {
    let Finding { check, severity, what, next } = finding;
    json!({"check": check, "result": severity.name(), "what": what, "next": next})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_amiss_has_a_next_step_in_its_own_line() {
        let mut findings = Findings::default();
        findings.add(Finding::ok("clock", "agrees"));
        findings.add(Finding::warning("disk", "2 GiB free", "make room"));
        assert!(!findings.any_problem());
        findings.add(Finding::problem("daemon", "no answer", "start it"));
        assert!(findings.any_problem());
        let text = findings.table(Output::new(Format::Json));
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[1], "ok       clock   agrees");
        assert!(lines[3].ends_with("next: make room") && lines[5].ends_with("next: start it"), "{text}");
    }
}
