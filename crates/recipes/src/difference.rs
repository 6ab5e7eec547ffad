//! Where paper and released code say different things.

use rrm_spec::JobKind;
use serde::Deserialize;
use toml::Table;

use crate::{
    Side,
    pattern::{Pattern, any_matches},
    table,
};

/// A point in which paper and released code differ, and the side that recipes follow unless told otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Its name, which a switch uses.
    pub name: String,
    /// What the paper says.
    pub paper: String,
    /// What the code does.
    pub code: String,
    /// Which of them is followed unless a switch says otherwise.
    pub follows: Side,
    /// What is missing to follow the other side, where our specs cannot express it.
    #[serde(default)]
    pub unavailable: Option<String>,
    /// The catalogues of whose jobs it speaks.
    pub(crate) catalogues: Vec<String>,
    /// Jobs that it concerns, where it cannot be switched.
    #[serde(default)]
    concerns: Vec<Pattern>,
    /// What makes the other side of jobs as they are written.
    #[serde(default)]
    changes: Vec<Change>,
}

/// Fields of some jobs that are other on the other side.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Kind of these jobs.
    #[serde(default = "train")]
    kind: JobKind,
    /// Their names.
    jobs: Vec<Pattern>,
    /// Field paths, and their values there.
    set: Table,
}

fn train() -> JobKind {
    JobKind::Train
}

impl Difference {
    /// Whether a switch can turn it.
    pub fn is_switchable(&self) -> bool {
        self.unavailable.is_none()
    }

    /// Whether it has to do with this job.
    pub(crate) fn concerns(&self, name: &str, fields: &Table) -> bool {
        any_matches(&self.concerns, name) || self.turns(name, fields)
    }

    /// Whether the job is another on the other side.
    pub(crate) fn turns(&self, name: &str, fields: &Table) -> bool {
        self.changes.iter().any(|change| change.is_of(name, fields))
    }

    /// Turns the job to the other side.
    pub(crate) fn turn(&self, name: &str, fields: &mut Table) {
        for change in &self.changes {
            if change.is_of(name, fields) {
                change.apply(fields);
            }
        }
    }
}

impl Change {
    fn is_of(&self, name: &str, fields: &Table) -> bool {
        let kind = fields.get("kind").and_then(toml::Value::as_str);
        kind == Some(self.kind.to_string().as_str()) && any_matches(&self.jobs, name)
    }

    fn apply(&self, fields: &mut Table) {
        for (path, value) in &self.set {
            assert!(table::set(fields, path, value.clone()), "{path} leads to a field: our own text, which is tested");
        }
    }
}
