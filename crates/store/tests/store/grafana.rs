//! The dashboards of `deploy/grafana` ask the views for what they have.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::bench::Bench;
use crate::view::column;

/// Every `rawQueryText` in a dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("rawQueryText").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| queries(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| queries(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_query_of_the_dashboard_names_views_and_columns_that_exist() {
    let bench = Bench::new().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/results.json");
    let dashboard = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut all = Vec::new();
    queries(&dashboard, &mut all);
    assert!(all.len() >= 10, "{all:?}");
    let file = bench.folder.path().join("rrm.db");
    let reader = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let views: Vec<String> = column(&bench, "select name from sqlite_schema where type = 'view'");
    for query in all {
        let sql = query.replace("$plan", "a plan");
        let named: Vec<&str> = {
            let words: Vec<&str> = sql.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()).collect();
            words.windows(2).filter(|pair| ["from", "join"].contains(&pair[0])).map(|pair| pair[1]).collect()
        };
        assert!(
            !named.is_empty() && named.iter().all(|name| views.iter().any(|view| view == name)),
            "{named:?}: {sql}"
        );
        // Double quotes would make a text of a name that is no column.
        assert!(!sql.contains('"'), "{sql}");
        let steps = reader.prepare(&format!("explain {sql}")).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(steps.column_count() > 1, "{sql}");
    }
}
