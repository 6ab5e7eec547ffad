//! Tables to typed values, collecting every fault instead of stopping at the first.

use toml::{Table, Value};

use super::{MAX_RETRIES, PlannedJob};
use crate::{
    Violation,
    read::{self, Fields, text_of},
    validate::{Checker, join},
};

/// A job as it is written down.
#[derive(Clone)]
pub(super) struct Written {
    /// How faults call it: `job.student`, or `job[3]` for the third one where it has no name.
    pub(super) path: String,
    pub(super) fields: Table,
}

impl Written {
    fn new(place: usize, fields: Table) -> Self {
        let path = path(name(&fields).unwrap_or_default(), place);
        Self { path, fields }
    }

    pub(super) fn name(&self) -> Option<&str> {
        name(&self.fields)
    }
}

fn name(fields: &Table) -> Option<&str> {
    fields.get("name").and_then(Value::as_str)
}

/// How faults call a job; places are counted from 1.
pub(super) fn path(name: &str, place: usize) -> String {
    if name.is_empty() { format!("job[{place}]") } else { format!("job.{name}") }
}

/// What is wrong with a text that is no TOML, with the line that it is in.
pub(super) fn no_toml(error: &toml::de::Error) -> String {
    // What the reader says of numbers beyond 64 bits, in words of Rust.
    const BEYOND: [&str; 4] = [
        " as i128, expected any valid TOML value",
        " as u128, expected any valid TOML value",
        "u64 value was too large",
        "integer number overflowed",
    ];
    let allowed = format!(": whole numbers must be at least {} and at most {}", i64::MIN, i64::MAX);
    BEYOND.iter().fold(error.to_string(), |text, words| text.replace(words, &allowed))
}

pub(super) fn take_text(table: &mut Table, field: &str, found: &mut Vec<Violation>) -> Option<String> {
    match table.remove(field) {
        Some(Value::String(text)) => return Some(text),
        Some(other) => found.push(violation(field, text_of(&other), "must be a text")),
        None => found.push(violation(field, "", "is missing")),
    }
    None
}

/// The tables of defaults by kind.
pub(super) fn take_defaults(document: &mut Table, found: &mut Vec<Violation>) -> Table {
    match document.remove("defaults") {
        Some(Value::Table(defaults)) => {
            let (known, unknown): (Table, Table) = defaults.into_iter().partition(|(kind, value)| {
                matches!(kind.as_str(), "train" | "evaluate" | "synthesize") && value.is_table()
            });
            refuse_unknown(&unknown, "defaults", "the tables train, evaluate and synthesize", found);
            known
        }
        Some(other) => {
            found.push(violation("defaults", text_of(&other), "must be a table"));
            Table::new()
        }
        None => Table::new(),
    }
}

/// The `[[job]]` tables.
pub(super) fn take_jobs(document: &mut Table, found: &mut Vec<Violation>) -> Vec<Written> {
    let items = match document.remove("job") {
        Some(Value::Array(items)) => items,
        Some(single) => vec![single],
        None => Vec::new(),
    };
    let mut jobs = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::Table(fields) => jobs.push(Written::new(index + 1, fields)),
            other => found.push(violation(path("", index + 1), text_of(&other), "must be a [[job]] table")),
        }
    }
    jobs
}

pub(super) fn refuse_unknown(table: &Table, path: &str, allowed: &str, found: &mut Vec<Violation>) {
    for (field, value) in table {
        let allowed = format!("is not known here: expected {allowed}");
        found.push(violation(join(path, field), text_of(value), &allowed));
    }
}

/// The job's own fields over the defaults of its kind; tables are merged unless their `kind` differs or they
/// refer to a network.
pub(super) fn with_defaults(job: Written, defaults: &Table) -> Written {
    let kind = job.fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    match defaults.get(kind) {
        Some(Value::Table(base)) => Written { fields: merge(base.clone(), job.fields), path: job.path },
        _ => job,
    }
}

fn merge(mut base: Table, over: Table) -> Table {
    for (field, value) in over {
        let merged = match (base.remove(&field), value) {
            (Some(Value::Table(below)), Value::Table(above)) if can_merge(&below, &above) => {
                Value::Table(merge(below, above))
            }
            (_, value) => value,
        };
        base.insert(field, merged);
    }
    base
}

/// Tables of one kind; and no two references, of which each is the whole.
fn can_merge(below: &Table, above: &Table) -> bool {
    let refers = |table: &Table| REFERENCES.iter().any(|key| table.contains_key(*key));
    above.get("kind").is_none_or(|kind| below.get("kind") == Some(kind)) && !(refers(below) && refers(above))
}

/// How a table says which network it means.
const REFERENCES: [&str; 3] = ["job", "checkpoint", "artifact"];

/// Reads one job and checks its ranges. A faulty one stays known, mended, so that references to it are not faults of
/// their own; one without a name is called what faults call it.
pub(super) fn planned_job(written: Written, found: &mut Vec<Violation>) -> PlannedJob {
    let Written { path, fields } = written;
    let mut fields = Fields::new(fields, &path, found);
    let job = PlannedJob {
        name: fields.required("name", path.clone()),
        priority: fields.whole("priority", i32::MIN.into()..=i32::MAX.into()).unwrap_or_default(),
        max_retries: fields.whole("max_retries", 0..=MAX_RETRIES.into()).unwrap_or(1),
        device: fields.optional("device").unwrap_or_default(),
        hold: fields.optional("hold").unwrap_or_default(),
        time_limit: fields.optional("time_limit"),
        request: fields.optional_table("request", read::resources).unwrap_or_default(),
        spec: read::job(&mut fields),
    };
    fields.finish();
    job.spec.collect(&mut Checker::new(&path, found));
    job.request.collect(&join(&path, "request"), found);
    job
}

fn violation(field: impl Into<String>, value: impl Into<String>, allowed: &str) -> Violation {
    Violation { field: field.into(), value: value.into(), allowed: allowed.trim().to_owned() }
}
