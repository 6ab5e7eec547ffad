//! What the rows cannot say.

use rrm_spec::{JobDetail, JobSpec, JobState};

use crate::{
    Row,
    collect::{another_temperature, evaluated},
    number::percent,
};

/// Jobs that ended badly with their reasons, evaluations of networks that no row shows, and of networks at another temperature.
pub(crate) fn remarks(jobs: &[&JobDetail], rows: &[Row]) -> Vec<String> {
    let ended = jobs.iter().filter_map(|job| bad_end(job));
    let foreign = jobs.iter().filter_map(|job| foreign_evaluation(job, rows));
    let otherwise = jobs.iter().filter_map(|job| evaluation_at_another_temperature(job, jobs));
    ended.chain(foreign).chain(otherwise).collect()
}

fn bad_end(job: &JobDetail) -> Option<String> {
    let summary = &job.summary;
    match summary.state {
        JobState::Failed | JobState::Cancelled | JobState::Skipped => {
            let reason = summary.reason.as_deref().unwrap_or("no reason is recorded");
            Some(format!("Job {} ({}) {}: {}.", summary.id, summary.name, ended(summary.state), one_line(reason)))
        }
        JobState::Waiting | JobState::Queued | JobState::Running | JobState::Succeeded => None,
    }
}

fn ended(state: JobState) -> String {
    match state {
        JobState::Failed => "failed".to_owned(),
        other => format!("was {other}"),
    }
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

fn foreign_evaluation(job: &JobDetail, rows: &[Row]) -> Option<String> {
    let JobSpec::Evaluate(spec) = &job.spec else { return None };
    if evaluated(spec).is_some_and(|network| rows.iter().any(|row| row.job == network)) {
        return None;
    }
    let temperature = spec.temperature.map_or_else(String::new, |divisor| format!(", at temperature {divisor}"));
    let found = found(job)?;
    Some(format!("{} evaluates a network that was trained elsewhere{temperature}: {found}.", job.summary.name))
}

fn evaluation_at_another_temperature(job: &JobDetail, jobs: &[&JobDetail]) -> Option<String> {
    let JobSpec::Evaluate(spec) = &job.spec else { return None };
    let (network, temperature) = (evaluated(spec)?, another_temperature(spec, jobs)?);
    let network = &jobs.iter().find(|known| known.summary.id == network)?.summary.name;
    let found = found(job)?;
    Some(format!("{} evaluates {network} at temperature {temperature}: {found}.", job.summary.name))
}

/// What an evaluation that succeeded found.
fn found(job: &JobDetail) -> Option<String> {
    let record = job.evaluations.last().filter(|_| job.summary.state == JobState::Succeeded)?;
    Some(format!(
        "natural {} %, {} {} % ({}/{})",
        percent(record.natural),
        record.attack.label(),
        percent(record.robust),
        record.robust.correct,
        record.robust.total,
    ))
}
