//! Changes of TOML tables.

use toml::{Table, Value};

/// Where a job may name others that it needs.
const REFERENCES: [&[&str]; 4] =
    [&["method", "teacher", "job"], &["initial", "job"], &["training_set", "job"], &["model", "job"]];

/// The jobs that a job names.
pub(crate) fn parents(fields: &Table) -> Vec<&str> {
    REFERENCES.into_iter().filter_map(|path| at(fields, path)?.as_str()).collect()
}

/// The name of the data set that a job needs.
pub(crate) fn dataset(fields: &Table) -> Option<&str> {
    at(fields, &["dataset", "name"])?.as_str()
}

fn at<'t>(fields: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(fields.get(*first)?, |value, field| value.get(*field))
}

/// The fields of `over` laid on those of `base`; tables are merged unless their `kind` differs.
pub(crate) fn merge(mut base: Table, over: Table) -> Table {
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

/// Sets a field by its path, such as `method.lambda`; whether the path led there.
pub(crate) fn set(table: &mut Table, path: &str, value: Value) -> bool {
    let Some((head, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return true;
    };
    match table.entry(head).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(below) => set(below, rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn tables_are_merged_and_those_of_another_kind_replaced() {
        let base = table(
            "a = 1\nmethod = { kind = 'rrm', lambda = 2 }\noptimizer = { rate = 1, schedule = { kind = 'cosine' } }",
        );
        let over = table("method = { kind = 'natural' }\noptimizer.schedule = { kind = 'step', factor = 1 }\nb = 2");
        let merged = "a = 1\nb = 2\nmethod = { kind = 'natural' }\noptimizer = { rate = 1, schedule = { kind = 'step', factor = 1 } }";
        assert_eq!(merge(base, over), table(merged));
    }

    #[test]
    fn a_path_leads_into_tables_and_not_into_values() {
        let mut fields = table("method = { lambda = 1 }");
        assert!(set(&mut fields, "method.lambda", 2.into()) && set(&mut fields, "validation.images", 5.into()));
        assert_eq!(fields, table("method = { lambda = 2 }\nvalidation = { images = 5 }"));
        assert!(!set(&mut fields, "method.lambda.x", 1.into()));
    }

    #[test]
    fn every_reference_is_found() {
        let fields = table("method.teacher.job = 'a'\ninitial.job = 'b'\ntraining_set.job = 'c'\nmodel.job = 'd'");
        assert_eq!(parents(&fields), ["a", "b", "c", "d"]);
        assert!(parents(&table("model.checkpoint = 'x'\nmethod.kind = 'natural'")).is_empty());
    }
}
