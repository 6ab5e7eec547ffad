//! Jobs in a few words.

use rrm_spec::{JobState, JobSummary, Progress};

use crate::{
    columns::{Cell, Columns, Side},
    eta,
    output::{Output, Tone},
    time,
};

/// The colour of a state.
pub(crate) fn tone(state: JobState) -> Tone {
    match state {
        JobState::Waiting | JobState::Queued => Tone::Plain,
        JobState::Running => Tone::Busy,
        JobState::Succeeded => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Cancelled | JobState::Skipped => Tone::Faint,
    }
}

/// The state, and what the job has been asked to do.
pub(crate) fn state(job: &JobSummary) -> String {
    job.standing()
}

/// Jobs as a table.
pub(crate) fn table(jobs: &[JobSummary], now_us: i64, output: Output) -> String {
    let mut columns = Columns::new([
        ("id", Side::Right),
        ("plan", Side::Left),
        ("owner", Side::Left),
        ("name", Side::Left),
        ("kind", Side::Left),
        ("state", Side::Left),
        ("progress", Side::Left),
        ("time", Side::Right),
        ("submitted", Side::Left),
        ("remark", Side::Left),
    ]);
    for job in jobs {
        columns.push([
            job.id.to_string().into(),
            format!("{} {}", job.submission, job.plan).into(),
            job.owner.to_string().into(),
            job.name.as_str().into(),
            job.kind.to_string().into(),
            Cell::toned(state(job), tone(job.state)),
            progress(job, now_us).into(),
            time_taken(job, now_us).into(),
            time::local(job.created_at).into(),
            remark(job).into(),
        ]);
    }
    columns.render(output)
}

/// Where a job stands: epochs, share of the work, time left.
pub(crate) fn progress(job: &JobSummary, now_us: i64) -> String {
    let epochs = (job.epochs_total > 0).then(|| format!("{}/{} epochs", job.epochs_done, job.epochs_total));
    let running = job.progress.as_ref().filter(|_| job.state == JobState::Running);
    let share = running.and_then(percent).map(|percent| format!("{percent} %"));
    let left = running.and_then(|progress| {
        let elapsed = time::between(job.started_at?, now_us);
        Some(format!("~{} left", time::duration(eta::remaining(elapsed, progress.done, progress)?)))
    });
    [epochs, share, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The share of the work that is done, in whole percent.
pub(crate) fn percent(progress: &Progress) -> Option<u64> {
    (progress.total > 0).then(|| progress.done.min(progress.total) * 100 / progress.total)
}

/// From the first attempt's beginning to the end, or to now.
pub(crate) fn time_taken(job: &JobSummary, now_us: i64) -> String {
    let ended = job.ended_at.unwrap_or(now_us);
    job.started_at.map_or_else(String::new, |started| time::duration(time::between(started, ended)))
}

fn remark(job: &JobSummary) -> String {
    let attempts = (job.attempts > 1).then(|| format!("attempt {}", job.attempts));
    let retry_of = job.retry_of.map(|of| format!("retry of {of}"));
    let retried_as = job.retried_as.map(|by| format!("retried as {by}"));
    let reason = job.reason.clone().filter(|_| job.state != JobState::Succeeded);
    [attempts, retry_of, retried_as, reason].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// How many jobs are in each state, such as `3 succeeded, 1 running`.
pub(crate) fn counts(states: impl Iterator<Item = JobState> + Clone) -> String {
    let count = |state| states.clone().filter(|other| *other == state).count();
    let counts = JobState::ALL.into_iter().rev().map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
    counts.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use rrm_spec::{JobId, JobKind, Stop, SubmissionId, UserName};

    use super::*;
    use crate::output::Format;

    /// A job of the plan `demo`.
    pub(crate) fn job(id: i64, name: &str, state: JobState) -> JobSummary {
        JobSummary {
            id: JobId(id),
            submission: SubmissionId(3),
            plan: "demo".into(),
            owner: UserName::lab(),
            name: name.into(),
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
    fn a_running_job_shows_share_and_time_left() {
        let mut job = job(12, "student", JobState::Running);
        job.progress = Some(Progress { phase: "epoch 4/12".into(), done: 30, total: 120, images_per_second: 1.0 });
        // 30 of 120 units in 60 s: 90 units take 180 s.
        assert_eq!(progress(&job, 61_000_000), "3/12 epochs, 25 %, ~3 min 00 s left");
    }

    #[test]
    fn a_table_has_one_line_per_job() {
        let jobs = [job(12, "student", JobState::Failed), job(13, "teacher", JobState::Queued)];
        let text = table(&jobs, 2_000_000, Output::new(Format::Json));
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("12  3 demo  lab    student  train  failed"), "{text}");
    }

    #[test]
    fn a_cancellation_under_way_is_shown() {
        let mut job = job(12, "student", JobState::Running);
        job.stop = Some(Stop::Cancel);
        assert_eq!(state(&job), "running, cancelling");
        (job.stop, job.held) = (Some(Stop::Preempt), true);
        assert_eq!(state(&job), "running, giving way, held");
        (job.stop, job.state) = (None, JobState::Queued);
        assert_eq!(state(&job), "queued, held");
    }

    #[test]
    fn both_ends_of_a_retry_are_remarked_upon() {
        let mut job = job(12, "student", JobState::Failed);
        (job.retried_as, job.reason) = (Some(JobId(31)), Some("why".into()));
        assert_eq!(remark(&job), "retried as 31; why");
        (job.retried_as, job.retry_of) = (None, Some(JobId(3)));
        assert_eq!(remark(&job), "retry of 3; why");
    }

    #[test]
    fn states_are_counted() {
        use JobState::{Running, Succeeded};
        assert_eq!(counts([Running, Succeeded, Succeeded].into_iter()), "2 succeeded, 1 running");
    }
}
