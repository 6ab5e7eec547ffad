//! Two specs side by side.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use rrm_spec::{JobDetail, JobSpec};
use serde_json::Value;

use crate::words::job_link;

/// Where two specs say different things: path, and what each says; `None` where it says nothing.
pub(crate) type Difference = (String, Option<String>, Option<String>);

/// In the order of their paths.
pub(crate) fn differences(one: &JobSpec, other: &JobSpec) -> Vec<Difference> {
    let (one, other) = (leaves(one), leaves(other));
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .map(|path| (path.clone(), one.get(path).cloned(), other.get(path).cloned()))
        .collect()
}

fn leaves(spec: &JobSpec) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // A spec is always JSON: it travels as such.
    collect("", &serde_json::to_value(spec).unwrap_or(Value::Null), &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(&below(name), value, found)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(index, value)| collect(&below(&index.to_string()), value, found));
        }
        Value::String(text) => drop(found.insert(path.to_owned(), text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            drop(found.insert(path.to_owned(), value.to_string()));
        }
    }
}

/// What two jobs do differently.
pub(crate) fn table(one: &JobDetail, other: &JobDetail) -> Markup {
    let differences = differences(&one.spec, &other.spec);
    let cell =
        |text: &Option<String>| html! { td.words { @match text { Some(text) => code { (text) }, None => "–" } } };
    html! {
        @if differences.is_empty() {
            p { "The specs of " (job_link(&one.summary)) " and " (job_link(&other.summary)) " say the same." }
        } @else {
            div.wide {
                table {
                    caption { "What the two specs say differently; all else is the same." }
                    thead { tr {
                        th scope="col" { "Field" }
                        th scope="col" { (job_link(&one.summary)) }
                        th scope="col" { (job_link(&other.summary)) }
                    } }
                    tbody {
                        @for (path, here, there) in &differences {
                            tr { th scope="row" { code { (path) } } (cell(here)) (cell(there)) }
                        }
                    }
                }
            }
        }
    }
}
