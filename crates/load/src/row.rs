//! What came out.

use std::fmt;

use jiff::Zoned;

use crate::daemon::Disk;

/// A number with what it is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// Such as `p50`.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<Goal>,
}

/// A bound, in the number's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {}", plain(*bound)),
            Self::AtLeast(bound) => write!(f, "≥ {}", plain(*bound)),
        }
    }
}

impl Number {
    pub(crate) fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit, goal: None }
    }

    pub(crate) fn at_most(self, bound: f64) -> Self {
        Self { goal: Some(Goal::AtMost(bound)), ..self }
    }

    pub(crate) fn at_least(self, bound: f64) -> Self {
        Self { goal: Some(Goal::AtLeast(bound)), ..self }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, plain(self.value), self.unit)?;
        match self.goal {
            None => Ok(()),
            Some(goal) => write!(f, " ({goal}: {})", if goal.is_met(self.value) { "met" } else { "not met" }),
        }
    }
}

/// Three digits that count, and no fraction where there are as many before it.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// One thing that was measured of one system.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Of ours or of a peer's.
    pub(crate) system: String,
    /// What was done.
    pub(crate) what: String,
    pub(crate) numbers: Vec<Number>,
    /// What is safe from a power cut once the call is answered.
    pub(crate) durable: String,
}

impl Row {
    /// Of ours: every answer comes after the commit.
    pub(crate) fn ours(what: impl Into<String>, numbers: Vec<Number>) -> Self {
        Self { system: "rrmd".to_owned(), what: what.into(), numbers, durable: "what was answered".to_owned() }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.numbers.iter().map(ToString::to_string).collect();
        write!(f, "{}, {}: {}", self.system, self.what, numbers.join(", "))
    }
}

/// A run.
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) revision: String,
    pub(crate) processors: usize,
    /// Milliseconds that 4 KiB take to be durable: median and 99th percentile.
    pub(crate) sync: (f64, f64),
    pub(crate) rows: Vec<Row>,
    /// Peers that could not be measured, and why.
    pub(crate) skipped: Vec<(String, String)>,
}

impl Results {
    pub(crate) fn begin(disk: &Disk) -> anyhow::Result<Self> {
        let sync = disk.sync_time(500)?;
        Ok(Self {
            date: Zoned::now().date().to_string(),
            revision: revision(),
            processors: std::thread::available_parallelism()?.get(),
            sync: (sync.quantile(0.5), sync.quantile(0.99)),
            rows: Vec::new(),
            skipped: Vec::new(),
        })
    }
}

fn revision() -> String {
    let git = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let said = git.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    said.map_or_else(|| "unknown".to_owned(), |said| String::from_utf8_lossy(&said).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_whether_its_goal_is_met() {
        let slow = Number::new("p50", 12.345, "ms").at_most(10.0);
        assert_eq!(slow.to_string(), "p50 12.3 ms (≤ 10.0: not met)");
        assert_eq!(
            Number::new("rate", 5432.1, "jobs/s").at_least(5000.0).to_string(),
            "rate 5432 jobs/s (≥ 5000: met)"
        );
        assert_eq!(Number::new("max", 0.5, "s").to_string(), "max 0.50 s");
    }
}
