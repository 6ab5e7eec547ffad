//! How users name jobs and plans.

use std::str::FromStr;

use rrm_spec::{ArtifactRef, JobId, SubmissionId};

/// At most so many jobs in a range: a slip of the finger must not cancel the whole history.
const LONGEST_RANGE: i64 = 10_000;

/// Some jobs: `12`, `12-20`, `@student` for the job of that name in the plan in question, or `plan:3` for all of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobSelector {
    /// One job.
    Id(JobId),
    /// All jobs from one to another, both included.
    Range(JobId, JobId),
    /// By name.
    Name(String),
    /// All jobs of a plan.
    Plan(PlanSelector),
}

impl FromStr for JobSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || {
            format!("`{text}` names no job: write an id (12), a range (12-20), a name (@student) or a plan (plan:3)")
        };
        if let Some(name) = text.strip_prefix('@') {
            return if name.is_empty() { Err(unknown()) } else { Ok(Self::Name(name.to_owned())) };
        }
        if let Some(plan) = text.strip_prefix("plan:") {
            return plan.parse().map(Self::Plan).map_err(|_| unknown());
        }
        let Some((from, to)) = text.split_once('-') else {
            return text.parse().map(Self::Id).map_err(|_| unknown());
        };
        let (from, to): (JobId, JobId) =
            from.parse().and_then(|from| Ok((from, to.parse()?))).map_err(|_| unknown())?;
        match to.0.checked_sub(from.0) {
            Some(0..LONGEST_RANGE) => Ok(Self::Range(from, to)),
            _ => Err(format!("`{text}` is no range: write the smaller id first, and at most {LONGEST_RANGE} jobs")),
        }
    }
}

impl JobSelector {
    /// Whether it means all jobs of a plan.
    pub(crate) fn is_plan(&self) -> bool {
        match self {
            Self::Plan(_) => true,
            Self::Id(_) | Self::Range(..) | Self::Name(_) => false,
        }
    }

    /// Whether it names something of the last plan, where names are looked up in `plan`.
    pub(crate) fn is_of_last(&self, plan: PlanSelector) -> bool {
        match self {
            Self::Id(_) | Self::Range(..) => false,
            Self::Name(_) => plan == PlanSelector::Last,
            Self::Plan(named) => *named == PlanSelector::Last,
        }
    }

    /// The same with the last plan by its id.
    pub(crate) fn with_last(&self, last: SubmissionId) -> Self {
        match self {
            Self::Plan(plan) => Self::Plan(plan.with_last(last)),
            Self::Id(_) | Self::Range(..) | Self::Name(_) => self.clone(),
        }
    }
}

/// A network: a job's final weights (`12`, `@student`), or one of the artifact store (`NAME`, `sha256:HASH`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkSelector {
    /// What a job has trained.
    Job(JobSelector),
    /// An imported network, or any by its hash.
    Artifact(ArtifactRef),
}

impl FromStr for NetworkSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(|first: char| first == '@' || first.is_ascii_digit()) {
            return text.parse().map(Self::Job);
        }
        let unknown = || {
            format!("`{text}` names no network: write a job (12, @student), an imported network's name, or sha256:HASH")
        };
        text.parse().map(Self::Artifact).map_err(|_| unknown())
    }
}

/// A plan as it was submitted: its id, or `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanSelector {
    /// The newest that the user has submitted.
    Last,
    /// By id.
    Id(SubmissionId),
}

impl PlanSelector {
    /// The same with the last plan by its id.
    pub(crate) fn with_last(self, last: SubmissionId) -> Self {
        match self {
            Self::Last => Self::Id(last),
            Self::Id(id) => Self::Id(id),
        }
    }
}

impl FromStr for PlanSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Self::Last),
            id => id.parse().map(Self::Id).map_err(|_| format!("`{id}` names no plan: write its id, or last")),
        }
    }
}

/// What a report is of: a plan, or one of the paper's tables and figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReportSubject {
    /// A plan, network by network.
    Plan(PlanSelector),
    /// A recipe by its whole name, `cpu/table1`, or without its size, `table1`.
    Recipe(String),
}

impl FromStr for ReportSubject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(plan) = text.parse() {
            return Ok(Self::Plan(plan));
        }
        match text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            true => Ok(Self::Recipe(text.to_owned())),
            false => Err(format!(
                "`{text}` names no plan and no table or figure: write a plan's id, last, or such as table1"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_by_id_range_or_name() {
        assert_eq!("12".parse(), Ok(JobSelector::Id(JobId(12))));
        assert_eq!("12-20".parse(), Ok(JobSelector::Range(JobId(12), JobId(20))));
        assert_eq!("7-7".parse(), Ok(JobSelector::Range(JobId(7), JobId(7))));
        assert_eq!("@student[seed=1]".parse(), Ok(JobSelector::Name("student[seed=1]".into())));
        assert_eq!("plan:3".parse(), Ok(JobSelector::Plan(PlanSelector::Id(SubmissionId(3)))));
        assert_eq!("plan:last".parse(), Ok(JobSelector::Plan(PlanSelector::Last)));
    }

    #[test]
    fn what_names_no_job_is_refused() {
        for text in [
            "",
            "0",
            "-3",
            "20-12",
            "1-10001",
            "12-",
            "@",
            "student",
            "1-2-3",
            "plan:",
            "plan:0",
            "plan:x",
            "9223372036854775808",
        ] {
            assert!(text.parse::<JobSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_named_by_job_name_or_hash() {
        let hash = "ab".repeat(32);
        assert_eq!("12".parse(), Ok(NetworkSelector::Job(JobSelector::Id(JobId(12)))));
        assert_eq!("@student".parse(), Ok(NetworkSelector::Job(JobSelector::Name("student".into()))));
        for text in ["madry-linf", &format!("sha256:{hash}")] {
            assert_eq!(text.parse(), Ok(NetworkSelector::Artifact(text.parse().unwrap())));
        }
        for text in ["", "sha256:12", "a b", "-a"] {
            assert!(text.parse::<NetworkSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn plans_are_named_by_id_or_as_the_last() {
        assert_eq!("last".parse(), Ok(PlanSelector::Last));
        assert_eq!("3".parse(), Ok(PlanSelector::Id(SubmissionId(3))));
        assert!("latest".parse::<PlanSelector>().is_err());
    }

    #[test]
    fn names_are_of_the_last_plan_where_no_other_is_named() {
        let is_of_last =
            |text: &str, plan: &str| text.parse::<JobSelector>().unwrap().is_of_last(plan.parse().unwrap());
        assert!(is_of_last("@student", "last") && is_of_last("plan:last", "3"));
        assert!(!is_of_last("@student", "3") && !is_of_last("12-20", "last") && !is_of_last("plan:3", "last"));
        let settled = "plan:last".parse::<JobSelector>().unwrap().with_last(SubmissionId(7));
        assert_eq!(settled, "plan:7".parse().unwrap());
    }

    #[test]
    fn reports_are_of_plans_or_of_the_papers_tables_and_figures() {
        assert_eq!("last".parse(), Ok(ReportSubject::Plan(PlanSelector::Last)));
        assert_eq!("3".parse(), Ok(ReportSubject::Plan(PlanSelector::Id(SubmissionId(3)))));
        for name in ["table1", "cpu/fig4"] {
            assert_eq!(name.parse(), Ok(ReportSubject::Recipe(name.to_owned())));
        }
        for text in ["", "-1", "0", "@student"] {
            assert!(text.parse::<ReportSubject>().is_err(), "{text}");
        }
    }
}
