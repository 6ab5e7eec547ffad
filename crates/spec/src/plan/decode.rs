//! Tables to typed values, collecting every fault instead of stopping at the first.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{DeviceRequest, PlannedJob, text_of};
use crate::{
    EvaluateSpec, JobSpec, TrainSpec, Violation,
    validate::{Checker, join},
};

/// A valid job of each kind, whose fields stand in for faulty ones so that the search for faults can go on.
const TRAIN: &str = r#"
    dataset = { name = "fashion-mnist" }
    arch = "dnn"
    method = { kind = "natural" }
    optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
    epochs = 10000
    batch_size = 1
    seed = 0
"#;
const EVALUATE: &str = r#"
    model = { checkpoint = "stand-in" }
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = 0 }, iterations = 1 }
    batch_size = 1
    seed = 0
"#;

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
            let (known, unknown): (Table, Table) = defaults
                .into_iter()
                .partition(|(kind, value)| matches!(kind.as_str(), "train" | "evaluate") && value.is_table());
            refuse_unknown(&unknown, "defaults", "the tables train and evaluate", found);
            known
        }
        Some(other) => {
            found.push(violation("defaults", text_of(&other), "must be a table"));
            Table::new()
        }
        None => Table::new(),
    }
}

pub(super) fn take_tables(document: &mut Table, field: &str, found: &mut Vec<Violation>) -> Vec<Table> {
    let Some(value) = document.remove(field) else { return Vec::new() };
    let tables = match value {
        Value::Array(items) => items.into_iter().map(Value::try_into::<Table>).collect::<Result<_, _>>(),
        other => other.try_into::<Table>().map(|table| vec![table]),
    };
    tables.unwrap_or_else(|e| {
        found.push(violation(field, "", &format!("must be [[{field}]] tables: {e}")));
        Vec::new()
    })
}

pub(super) fn refuse_unknown(table: &Table, path: &str, allowed: &str, found: &mut Vec<Violation>) {
    for (field, value) in table {
        let allowed = format!("is not known here: expected {allowed}");
        found.push(violation(join(path, field), text_of(value), &allowed));
    }
}

/// The job's own fields over the defaults of its kind; tables are merged unless their `kind` differs.
pub(super) fn with_defaults(table: Table, defaults: &Table) -> Table {
    let kind = table.get("kind").and_then(Value::as_str).unwrap_or_default();
    match defaults.get(kind) {
        Some(Value::Table(base)) => merge(base.clone(), table),
        _ => table,
    }
}

fn merge(mut base: Table, over: Table) -> Table {
    for (field, value) in over {
        let merged = match (base.remove(&field), value) {
            (Some(Value::Table(below)), Value::Table(above)) if same_kind(&below, &above) => {
                Value::Table(merge(below, above))
            }
            (_, value) => value,
        };
        base.insert(field, merged);
    }
    base
}

fn same_kind(below: &Table, above: &Table) -> bool {
    above.get("kind").is_none_or(|kind| below.get("kind") == Some(kind))
}

pub(super) fn planned_job(mut table: Table, found: &mut Vec<Violation>) -> Option<PlannedJob> {
    let name = take_text(&mut table, "name", found)?;
    let path = format!("job.{name}");
    let mut take = |field: &str| table.remove(field);
    let priority = scalar(take("priority"), &path, "priority", 0, found);
    let max_retries = scalar(take("max_retries"), &path, "max_retries", 1, found);
    let device = scalar(take("device"), &path, "device", DeviceRequest::Any, found);
    // A faulty job stays known, mended, so that references to it are not faults of their own.
    let spec = job(table, &path, found)?;
    Some(PlannedJob { name, spec, priority, max_retries, device })
}

fn scalar<T: DeserializeOwned>(
    value: Option<Value>,
    path: &str,
    field: &str,
    default: T,
    found: &mut Vec<Violation>,
) -> T {
    let Some(value) = value else { return default };
    let text = text_of(&value);
    value.try_into().unwrap_or_else(|e: toml::de::Error| {
        found.push(violation(join(path, field), text, e.message()));
        default
    })
}

/// Reads one job's fields and checks their ranges. Paths in violations begin with `path`.
///
/// What comes back next to violations is mended with stand-ins and good for nothing but the search for more of them.
pub(crate) fn job(mut table: Table, path: &str, found: &mut Vec<Violation>) -> Option<JobSpec> {
    let kind = table.remove("kind");
    let spec = match kind.as_ref().and_then(Value::as_str) {
        Some("train") => repaired::<TrainSpec>(table, TRAIN, path, found).map(JobSpec::Train),
        Some("evaluate") => repaired::<EvaluateSpec>(table, EVALUATE, path, found).map(JobSpec::Evaluate),
        _ => {
            let value = kind.as_ref().map(text_of).unwrap_or_default();
            found.push(violation(join(path, "kind"), value, "must be train or evaluate"));
            None
        }
    }?;
    spec.collect(&mut Checker::new(path, found));
    Some(spec)
}

/// Reads `T`, replacing each faulty top-level field by the stand-in's, so that all faults come out in one pass.
fn repaired<T: DeserializeOwned>(
    mut table: Table,
    stand_in: &str,
    path: &str,
    found: &mut Vec<Violation>,
) -> Option<T> {
    let stand_in: Table = stand_in.parse().expect("the stand-in is valid TOML");
    // Each round mends one field, so there are at most as many rounds as fields.
    for _ in 0..=table.len() + stand_in.len() {
        let error = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let message = error.inner().message().to_owned();
        let inner_path = error.path().to_string();
        let named = message.split('`').nth(1).unwrap_or_default();
        // At the top level the path is empty (".") and the message names the field.
        let full = if inner_path == "." { named.to_owned() } else { inner_path };
        let field = full.split('.').next().unwrap_or_default().to_owned();
        let value = table.get(&field).map(text_of).unwrap_or_default();
        found.push(violation(join(path, &full), value, &message));
        match stand_in.get(&field) {
            Some(stand_in) => table.insert(field, stand_in.clone()),
            None => table.remove(&field),
        };
    }
    None
}

fn violation(field: impl Into<String>, value: impl Into<String>, allowed: &str) -> Violation {
    Violation { field: field.into(), value: value.into(), allowed: allowed.trim().to_owned() }
}
