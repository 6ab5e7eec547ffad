//! What a watcher is told of, in words.

use rrm_spec::{Accuracy, AttemptOutcome, EpochRecord, EvaluationRecord, EventView, JobId, JobState};
use serde::Deserialize;
use serde_json::Value;

use crate::output::printable;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) job: JobId,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// It is in another state.
    State(JobState, Option<String>),
    /// An attempt ended without success.
    Setback(AttemptOutcome, Option<String>),
    /// An epoch is complete.
    Epoch(Box<EpochRecord>),
    /// So many epochs are complete; nothing more is known of them.
    Epochs(u32),
    /// An evaluation is complete.
    Evaluation(Box<EvaluationRecord>),
    /// Another job does it again.
    Retried(JobId),
    /// Somebody wants something of it.
    Wish(String),
    /// Something that should not be.
    Warning(String),
}

#[derive(Deserialize)]
struct StateData {
    to: JobState,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct EndData {
    outcome: AttemptOutcome,
    message: Option<String>,
}

/// Reads an event; `None` of what watchers need not know, and of kinds that a newer daemon may have.
pub(super) fn read(event: &EventView) -> Option<Happening> {
    let job = event.job?;
    let data: Value = serde_json::from_str(&event.data).ok()?;
    let what = match event.kind.as_str() {
        "job.state" => {
            let StateData { to, reason } = serde_json::from_value(data).ok()?;
            What::State(to, reason)
        }
        "attempt.end" => {
            let EndData { outcome, message } = serde_json::from_value(data).ok()?;
            match outcome {
                AttemptOutcome::Ok => return None,
                setback => What::Setback(setback, message),
            }
        }
        "epoch" => What::Epoch(Box::new(serde_json::from_value(data).ok()?)),
        "evaluation" => What::Evaluation(Box::new(serde_json::from_value(data).ok()?)),
        "job.hold" => What::Wish("held".to_owned()),
        "job.release" => What::Wish("released".to_owned()),
        "job.priority" => What::Wish(format!("priority {}", data["to"].as_i64()?)),
        "job.stop" => What::Wish(format!("is to stop ({})", data["stop"].as_str()?)),
        "job.retry" => What::Retried(JobId(data["retried_as"].as_i64()?)),
        "device.out-of-service" => What::Warning(format!(
            "{} of {} is out of service: {}",
            data["device"].as_str()?,
            data["node"].as_str()?,
            data["reason"].as_str()?
        )),
        kind if kind.starts_with("error.") => What::Warning(format!("{kind}: {data}")),
        _ => return None,
    };
    Some(Happening { job, what })
}

impl What {
    /// In a line; `epochs` of how many an epoch is.
    pub(super) fn text(&self, epochs: u32) -> String {
        match self {
            Self::State(state, None) => state.to_string(),
            Self::State(state, Some(reason)) => format!("{state}: {}", one_line(reason)),
            Self::Setback(outcome, message) => {
                let message = message.as_deref().map_or_else(String::new, |message| format!(": {}", one_line(message)));
                format!("attempt ended ({}){message}", outcome.name())
            }
            Self::Epoch(record) => epoch(record, epochs),
            Self::Epochs(done) => format!("{done}/{epochs} epochs"),
            Self::Evaluation(record) => evaluation(record),
            Self::Retried(by) => format!("retried as job {by}"),
            Self::Wish(text) => one_line(text),
            Self::Warning(text) => format!("warning: {}", one_line(text)),
        }
    }
}

fn epoch(record: &EpochRecord, epochs: u32) -> String {
    let robust = record.robust.map_or_else(String::new, |robust| format!(", robust {}", percent(robust)));
    format!(
        "epoch {}/{epochs}: loss {:.3}, natural {}{robust}, {:.1} s",
        record.epoch,
        record.loss,
        percent(record.natural),
        record.train_us as f64 / 1e6,
    )
}

fn evaluation(record: &EvaluationRecord) -> String {
    let Accuracy { correct, total } = record.robust;
    format!(
        "{}: natural {}, robust {} ({correct}/{total})",
        record.attack.label(),
        percent(record.natural),
        percent(record.robust)
    )
}

fn percent(accuracy: Accuracy) -> String {
    accuracy.fraction().map_or_else(|| "–".to_owned(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

fn one_line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of job 12.
    pub(in crate::watch) fn event(kind: &str, data: &str) -> EventView {
        let (kind, data) = (kind.to_owned(), data.to_owned());
        EventView { seq: 1, at: 0, job: Some(JobId(12)), attempt: None, kind, data }
    }

    const EPOCH: &str = r#"{"epoch": 2, "train_us": 12300000, "validation_us": 1, "images": 60000, "learning_rate": 0.1,
        "loss": 1.25, "train": {"correct": 1, "total": 2}, "natural": {"correct": 7, "total": 10},
        "robust": {"correct": 3, "total": 10}}"#;

    #[test]
    fn events_are_told_in_words() {
        let text = |kind, data| read(&event(kind, data)).unwrap().what.text(12);
        assert_eq!(text("job.state", r#"{"from": "queued", "to": "running", "reason": null}"#), "running");
        assert_eq!(text("job.state", r#"{"to": "failed", "reason": "no\nimages"}"#), "failed: no images");
        assert_eq!(text("epoch", EPOCH), "epoch 2/12: loss 1.250, natural 70.0 %, robust 30.0 %, 12.3 s");
        assert_eq!(
            text("attempt.end", r#"{"outcome": "lost", "message": "silence", "exit_code": null}"#),
            "attempt ended (lost): silence"
        );
    }

    #[test]
    fn what_is_not_known_or_not_needed_is_passed_over() {
        for (kind, data) in [
            ("attempt.end", r#"{"outcome": "ok", "message": null}"#),
            ("checkpoint", "{}"),
            ("epoch", "{}"),
            ("job.state", "no json"),
            ("a-later-kind", "{}"),
        ] {
            assert_eq!(read(&event(kind, data)), None, "{kind}");
        }
    }

    #[test]
    fn wishes_are_told_in_words() {
        let text = |kind, data| read(&event(kind, data)).unwrap().what.text(12);
        assert_eq!(text("job.hold", "{}"), "held");
        assert_eq!(text("job.priority", r#"{"from": 0, "to": -3}"#), "priority -3");
        assert_eq!(text("job.stop", r#"{"stop": "preempt"}"#), "is to stop (preempt)");
        assert_eq!(text("job.retry", r#"{"retried_as": 31}"#), "retried as job 31");
        assert_eq!(read(&event("job.retry", r#"{"retry_of": 12}"#)), None, "the old job's watchers are told");
    }

    #[test]
    fn a_device_that_is_taken_out_of_service_is_warned_of() {
        let data = r#"{"node": "lab1", "device": "cuda:0", "reason": "jobs 1, 2, 3 failed"}"#;
        let warning = read(&event("device.out-of-service", data)).unwrap().what.text(3);
        assert_eq!(warning, "warning: cuda:0 of lab1 is out of service: jobs 1, 2, 3 failed");
    }

    #[test]
    fn contradictions_in_the_log_are_warned_of() {
        let warning = read(&event("error.epoch-differs", r#"{"stored": 1}"#)).unwrap().what.text(3);
        assert!(warning.starts_with("warning: error.epoch-differs"), "{warning}");
    }
}
