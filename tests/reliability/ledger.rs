//! What was acknowledged, as whoever got the acknowledgements wrote it down.

use serde_json::{Value, json};

/// Everything that the daemon has promised to somebody. The fields are lists of JSON objects, so that SQL can look at them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// `request`, `plan` (its name, which no other request has), `submission`, `jobs` (ids in the plan's order).
    pub(crate) submissions: Vec<Value>,
    /// `job`: its cancellation was acknowledged before its end.
    pub(crate) cancels: Vec<Value>,
    /// `attempt`, `durable` (highest number of its records), `epochs` (numbers of those among them).
    pub(crate) reports: Vec<Value>,
    /// `attempt`, `outcome` as it was told.
    pub(crate) settled: Vec<Value>,
}

impl Ledger {
    /// Reads what [`Entry::line`] wrote; a last line that breaks off was never followed by anything.
    #[allow(dead_code, reason = "the simulation keeps its ledger in memory")]
    pub(crate) fn read(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            ledger.list_of(value["kind"].as_str().unwrap_or_default()).push(value);
        }
        ledger
    }

    #[allow(dead_code, reason = "the chaos journal is a file")]
    pub(crate) fn add(&mut self, entry: &Entry) {
        let value = entry.value();
        self.list_of(entry.kind()).push(value);
    }

    fn list_of(&mut self, kind: &str) -> &mut Vec<Value> {
        match kind {
            "submission" => &mut self.submissions,
            "cancel" => &mut self.cancels,
            "report" => &mut self.reports,
            "settled" => &mut self.settled,
            other => panic!("an entry of kind `{other}`"),
        }
    }

    /// How many acknowledgements it holds.
    #[allow(dead_code, reason = "the chaos report counts them by kind")]
    pub(crate) fn len(&self) -> usize {
        self.submissions.len() + self.cancels.len() + self.reports.len() + self.settled.len()
    }
}

/// One acknowledgement.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Submission { request: String, plan: String, submission: i64, jobs: Vec<i64> },
    Cancel { job: i64 },
    Report { attempt: i64, durable: u64, epochs: Vec<u32> },
    Settled { attempt: i64, outcome: &'static str },
}

impl Entry {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Submission { .. } => "submission",
            Self::Cancel { .. } => "cancel",
            Self::Report { .. } => "report",
            Self::Settled { .. } => "settled",
        }
    }

    pub(crate) fn value(&self) -> Value {
        let kind = self.kind();
        match self {
            Self::Submission { request, plan, submission, jobs } => {
                json!({ "kind": kind, "request": request, "plan": plan, "submission": submission, "jobs": jobs })
            }
            Self::Cancel { job } => json!({ "kind": kind, "job": job }),
            Self::Report { attempt, durable, epochs } => {
                json!({ "kind": kind, "attempt": attempt, "durable": durable, "epochs": epochs })
            }
            Self::Settled { attempt, outcome } => json!({ "kind": kind, "attempt": attempt, "outcome": outcome }),
        }
    }
}
