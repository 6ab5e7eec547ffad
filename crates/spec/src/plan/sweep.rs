//! One job per combination of swept values.

use std::collections::{BTreeSet, HashMap};

use toml::{Table, Value};

use super::decode::Written;
use crate::{MAX_JOBS_PER_PLAN, Violation, read::text_of, validate::join};

/// A job's variant: what is appended to the name of the job as written, such as `[seed=1]` without the brackets.
type Suffix = String;

/// Replaces every job that has a `sweep`, or refers to one that has, by its variants.
pub(super) fn expand(written: Vec<Written>, found: &mut Vec<Violation>) -> Vec<Written> {
    let mut variants: HashMap<String, Vec<Suffix>> = HashMap::new();
    let mut jobs = Vec::new();
    for mut job in written {
        let axes = take_axes(&mut job, found);
        let inherited = parent(&job.fields).and_then(|parent| variants.get(&parent).cloned());
        let mut suffixes = Vec::new();
        let mut blocked = BTreeSet::new();
        for parent_suffix in inherited.as_deref().unwrap_or(&[String::new()]) {
            for combination in combinations(&axes) {
                let suffix = joined(parent_suffix, &combination);
                if jobs.len() <= MAX_JOBS_PER_PLAN {
                    jobs.push(variant(job.clone(), parent_suffix, &suffix, &combination, &mut blocked));
                }
                suffixes.push(suffix);
            }
        }
        blocked.iter().for_each(|field| found.push(dead_end(&job, field)));
        variants.insert(job.name().unwrap_or_default().to_owned(), suffixes);
    }
    jobs
}

/// The fault of a sweep whose path leads through something that has no fields.
fn dead_end(job: &Written, field: &str) -> Violation {
    let allowed = "must lead to a field: a part of this path is a value, not a table".to_owned();
    Violation { field: format!("{}.sweep.{field}", job.path), value: String::new(), allowed }
}

/// A swept field's path and values.
type Axis = (String, Vec<Value>);

fn take_axes(job: &mut Written, found: &mut Vec<Violation>) -> Vec<Axis> {
    let Some(sweep) = job.fields.remove("sweep") else { return Vec::new() };
    let path = join(&job.path, "sweep");
    let mut fault = |field: String, value: &Value, allowed: &str| {
        found.push(Violation { field, value: text_of(value), allowed: allowed.to_owned() });
    };
    let Value::Table(sweep) = sweep else {
        fault(path, &sweep, "must be a table of fields to lists of values");
        return Vec::new();
    };
    let (good, bad): (Vec<_>, Vec<_>) =
        sweep.into_iter().partition(|(_, value)| value.as_array().is_some_and(|list| !list.is_empty()));
    bad.iter().for_each(|(field, value)| fault(join(&path, field), value, "must be a list of at least one value"));
    let mut axes: Vec<Axis> =
        good.into_iter().filter_map(|(field, value)| Some((field, value.as_array()?.clone()))).collect();
    // The seed goes first: seeds are the outermost repetition when people read a list.
    axes.sort_by_key(|(field, _)| (field != "seed", field.clone()));
    axes
}

fn combinations(axes: &[Axis]) -> Vec<Vec<(String, Value)>> {
    axes.iter().fold(vec![Vec::new()], |partial, (field, values)| {
        partial
            .iter()
            .flat_map(|start| {
                values.iter().map(move |value| {
                    let mut longer = start.clone();
                    longer.push((field.clone(), value.clone()));
                    longer
                })
            })
            .take(MAX_JOBS_PER_PLAN + 1)
            .collect()
    })
}

fn joined(parent: &str, combination: &[(String, Value)]) -> Suffix {
    let own = combination.iter().map(|(field, value)| {
        let short = field.rsplit('.').next().unwrap_or(field);
        format!("{short}={}", text_of(value))
    });
    let parent = (!parent.is_empty()).then(|| parent.to_owned());
    parent.into_iter().chain(own).collect::<Vec<_>>().join(",")
}

fn named(name: &str, suffix: &str) -> String {
    if suffix.is_empty() { name.to_owned() } else { format!("{name}[{suffix}]") }
}

/// The job with these values; fields whose paths lead nowhere are added to `blocked`.
fn variant(
    mut job: Written,
    parent_suffix: &str,
    suffix: &str,
    values: &[(String, Value)],
    blocked: &mut BTreeSet<String>,
) -> Written {
    if let Some(Value::String(name)) = job.fields.get_mut("name") {
        *name = named(name, suffix);
    }
    job.path = named(&job.path, suffix);
    if let Some(Value::String(parent)) = reference(&mut job.fields) {
        *parent = named(parent, parent_suffix);
    }
    for (field, value) in values {
        if !set(&mut job.fields, field, value.clone()) {
            blocked.insert(field.clone());
        }
    }
    job
}

/// Whether the path led to a place for the value.
fn set(table: &mut Table, path: &str, value: Value) -> bool {
    let Some((head, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return true;
    };
    match table.entry(head).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(below) => set(below, rest, value),
        _ => false,
    }
}

fn parent(table: &Table) -> Option<String> {
    reference(&mut table.clone()).and_then(|value| value.as_str().map(str::to_owned))
}

/// The place where a job names the job that it needs.
fn reference(table: &mut Table) -> Option<&mut Value> {
    let source = match table.get("kind").and_then(Value::as_str) {
        Some("evaluate") => table.get_mut("model"),
        _ => table.get_mut("method").and_then(|method| method.get_mut("teacher")),
    };
    source.and_then(|source| source.get_mut("job"))
}
