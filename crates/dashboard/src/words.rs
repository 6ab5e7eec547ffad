//! Numbers and states as readers see them.

use maud::{Markup, html};
use rrm_spec::{Accuracy, JobId, JobKind, JobState, JobSummary, Progress, SubmissionId};

/// A state as a word with a sign: neither colour nor sign is needed to understand it.
pub(crate) fn state(state: JobState) -> Markup {
    signed(state, state.name())
}

/// Where a job stands, in [`standing_words`] and with its state's sign.
pub(crate) fn standing(job: &JobSummary) -> Markup {
    signed(job.state, &standing_words(job))
}

/// The state, what the job has been asked to do, and whether it is held: as `rrm list` shows it.
pub(crate) fn standing_words(job: &JobSummary) -> String {
    job.standing()
}

fn signed(state: JobState, words: &str) -> Markup {
    html! { span class={ "state " (state.name()) } { span aria-hidden="true" { (sign(state)) } " " (words) } }
}

pub(crate) fn sign(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "◌",
        JobState::Queued => "○",
        JobState::Running => "▶",
        JobState::Succeeded => "✓",
        JobState::Failed => "✗",
        JobState::Cancelled => "–",
        JobState::Skipped => "»",
    }
}

pub(crate) fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Train => "training",
        JobKind::Evaluate => "evaluation",
        JobKind::Synthesize => "synthesis",
    }
}

/// A job by number and name.
pub(crate) fn job_link(job: &JobSummary) -> Markup {
    html! { a href={ "/jobs/" (job.id) } { "#" (job.id) " " (job.name) } }
}

/// A job of which no more than its number is known.
pub(crate) fn number_link(id: JobId) -> Markup {
    html! { a href={ "/jobs/" (id) } { "#" (id) } }
}

pub(crate) fn plan_link(id: SubmissionId, name: &str) -> Markup {
    html! { a href={ "/plans/" (id) } { (name) } }
}

/// Where a job stands: its epochs or, while it runs, what it is at.
pub(crate) fn progress(job: &JobSummary) -> Markup {
    let epochs = html! { @if job.epochs_total > 0 { (job.epochs_done) "/" (job.epochs_total) " epochs" } };
    match &job.progress {
        Some(at) if job.state == JobState::Running => html! {
            @if at.total > 0 {
                progress max=(at.total) value=(at.done.min(at.total)) aria-label="done" {} " "
                (percent_done(at)) " % · "
            }
            (at.phase)
        },
        Some(_) | None => epochs,
    }
}

fn percent_done(at: &Progress) -> u64 {
    (at.done.min(at.total) as f64 / at.total as f64 * 100.0) as u64
}

/// `63.4 %`; a dash where nothing was measured.
pub(crate) fn percent(accuracy: Option<Accuracy>) -> String {
    let fraction = accuracy.and_then(Accuracy::fraction);
    fraction.map_or_else(|| "–".to_owned(), |fraction| format!("{:.1} %", fraction * 100.0))
}

/// An accuracy with its interval and its counts.
pub(crate) fn accuracy(accuracy: Accuracy) -> Markup {
    html! {
        (percent(Some(accuracy)))
        @if let Some((low, high)) = accuracy.wilson95() {
            " " span.note { (format!("[{:.1}, {:.1}]", low * 100.0, high * 100.0)) " " (accuracy.correct) "/" (accuracy.total) }
        }
    }
}

/// Bytes in the largest unit of 1024 that gives at least 1.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let place = (0..UNITS.len()).rev().find(|place| bytes >> (10 * place) > 0).unwrap_or(0);
    match place {
        0 => format!("{bytes} B"),
        place => format!("{:.1} {}", bytes as f64 / (1u64 << (10 * place)) as f64, UNITS[place]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rrm_spec::{Stop, UserName};

    use super::*;

    /// A job of the plan `demo`.
    pub(crate) fn job(id: i64, state: JobState) -> JobSummary {
        JobSummary {
            id: JobId(id),
            submission: SubmissionId(3),
            plan: "demo".into(),
            owner: UserName::lab(),
            name: "teacher".into(),
            kind: JobKind::Train,
            state,
            stop: None,
            held: false,
            priority: 0,
            time_limit: None,
            retry_of: None,
            retried_as: None,
            attempts: 1,
            epochs_done: 3,
            epochs_total: 12,
            progress: None,
            reason: None,
            created_at: 0,
            started_at: Some(1_000_000),
            ended_at: None,
        }
    }

    #[test]
    fn a_job_stands_where_rrm_list_says_it_does() {
        let words = |state, stop, held| standing_words(&JobSummary { stop, held, ..job(12, state) });
        assert_eq!(words(JobState::Queued, None, true), "queued, held");
        assert_eq!(words(JobState::Running, Some(Stop::Preempt), true), "running, giving way, held");
        assert_eq!(words(JobState::Running, Some(Stop::Cancel), false), "running, cancelling");
        assert_eq!(words(JobState::Cancelled, Some(Stop::Cancel), false), "cancelled", "it has");
        assert_eq!(words(JobState::Failed, Some(Stop::Timeout), false), "failed");
        assert!(standing(&job(12, JobState::Failed)).0.contains("✗"), "the sign is that of the state");
    }

    #[test]
    fn a_state_needs_no_colour() {
        let words: Vec<String> = JobState::ALL.map(|it| state(it).0).into();
        assert!(words[4].contains("✗") && words[4].contains("failed"));
        let signs: std::collections::HashSet<&str> = JobState::ALL.map(sign).into();
        assert_eq!(signs.len(), JobState::ALL.len());
    }

    #[test]
    fn sizes_and_shares_are_readable() {
        assert_eq!([0, 1023, 1024, 1_610_612_736].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
        assert_eq!(percent(Some(Accuracy { correct: 1, total: 3 })), "33.3 %");
        assert_eq!(percent(Some(Accuracy { correct: 0, total: 0 })), "–");
    }
}
