//! The database's words for the vocabulary's enumerations.

use rrm_spec::{AttemptOutcome, CheckpointRole, Device, DeviceRequest, JobKind, JobState, Norm, Stop, TimeLimit};

use crate::StoreError;

pub(crate) fn kind(text: &str) -> Result<JobKind, StoreError> {
    match text {
        "train" => Ok(JobKind::Train),
        "evaluate" => Ok(JobKind::Evaluate),
        "synthesize" => Ok(JobKind::Synthesize),
        other => Err(unknown("job kind", other)),
    }
}

pub(crate) fn state(text: &str) -> Result<JobState, StoreError> {
    JobState::from_name(text).ok_or_else(|| unknown("job state", text))
}

pub(crate) fn stop(text: Option<&str>) -> Result<Option<Stop>, StoreError> {
    text.map(|text| Stop::from_name(text).ok_or_else(|| unknown("stop", text))).transpose()
}

pub(crate) fn time_limit(seconds: Option<i64>) -> Result<Option<TimeLimit>, StoreError> {
    let limit = |seconds| TimeLimit::from_seconds(unsigned(seconds)?).map_err(StoreError::internal);
    seconds.map(limit).transpose()
}

pub(crate) fn outcome(text: &str) -> Result<AttemptOutcome, StoreError> {
    AttemptOutcome::from_name(text).ok_or_else(|| unknown("outcome", text))
}

pub(crate) fn role(text: &str) -> Result<CheckpointRole, StoreError> {
    match text {
        "resume" => Ok(CheckpointRole::Resume),
        "final" => Ok(CheckpointRole::Final),
        other => Err(unknown("checkpoint role", other)),
    }
}

pub(crate) fn role_name(role: CheckpointRole) -> &'static str {
    match role {
        CheckpointRole::Resume => "resume",
        CheckpointRole::Final => "final",
    }
}

pub(crate) fn norm_name(norm: Norm) -> &'static str {
    match norm {
        Norm::Linf => "linf",
        Norm::L2 => "l2",
        Norm::L1 => "l1",
    }
}

pub(crate) fn request_name(request: DeviceRequest) -> &'static str {
    match request {
        DeviceRequest::Any => "any",
        DeviceRequest::Cpu => "cpu",
        DeviceRequest::Cuda => "cuda",
    }
}

pub(crate) fn request(text: &str) -> Result<DeviceRequest, StoreError> {
    match text {
        "any" => Ok(DeviceRequest::Any),
        "cpu" => Ok(DeviceRequest::Cpu),
        "cuda" => Ok(DeviceRequest::Cuda),
        other => Err(unknown("device request", other)),
    }
}

pub(crate) fn device(text: &str) -> Result<Device, StoreError> {
    text.parse().map_err(|_| unknown("device", text))
}

/// Counts are stored as SQLite's signed integers.
pub(crate) fn signed(count: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(count)
        .map_err(|_| StoreError::Invalid(rrm_spec::Violations::one(what, count.to_string(), "must be below 2^63")))
}

pub(crate) fn unsigned<T: TryFrom<i64>>(stored: i64) -> Result<T, StoreError> {
    T::try_from(stored).map_err(|_| unknown("count", &stored.to_string()))
}

/// Most things that one message names: whoever asked about ten thousand wants to read it nevertheless.
const NAMED: usize = 10;

/// The first few of them as a list, and how many more there are; empty where there are none.
pub(crate) fn first_few(words: impl IntoIterator<Item = String>) -> String {
    let mut words = words.into_iter();
    let named = words.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
    match words.count() {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn unknown(what: &str, text: &str) -> StoreError {
    StoreError::internal(format!("unknown {what} `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for role_ in [CheckpointRole::Resume, CheckpointRole::Final] {
            assert_eq!(role(role_name(role_)).unwrap(), role_);
        }
        for kind_ in JobKind::ALL {
            assert_eq!(kind(&kind_.to_string()).unwrap(), kind_);
        }
        for request_ in [DeviceRequest::Any, DeviceRequest::Cpu, DeviceRequest::Cuda] {
            assert_eq!(request(request_name(request_)).unwrap(), request_);
        }
        assert!(state("asleep").is_err() && stop(Some("nap")).is_err() && outcome("dream").is_err());
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let words = |n: usize| first_few((1..=n).map(|i| i.to_string()));
        assert_eq!([words(0), words(2), words(10)], ["", "1, 2", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"]);
        assert_eq!(words(12), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
    }
}
