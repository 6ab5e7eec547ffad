//! From text to a job, naming every fault instead of stopping at the first.

mod attack;
mod fields;
mod job;
mod resources;
mod search_attack;

pub(crate) use fields::{Fields, text_of};
use toml::{Table, Value};

use crate::{JobSpec, ResourceRequest, Violations, validate::Checker};

/// Reads and validates a job.
///
/// # Errors
/// [`Violations`] with every fault: syntax, unknown or missing fields, wrong types, values out of range.
pub fn read_job(json: &str) -> Result<JobSpec, Violations> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|e| Violations::one("job", "", format!("is no JSON: {e}")))?;
    let serde_json::Value::Object(object) = value else {
        return Err(Violations::one("job", value.to_string(), "must be a JSON object"));
    };
    let mut found = Vec::new();
    let mut fields = Fields::new(table_of(object), "", &mut found);
    let spec = job(&mut fields);
    fields.finish();
    spec.collect(&mut Checker::new("", &mut found));
    Violations::check(found).map(|()| spec)
}

/// Reads a job's own fields; the caller may ask for more of them, checks the job's ranges and says when it is done.
///
/// What comes back next to faults is mended with stand-ins and good for nothing but the search for more of them.
pub(crate) fn job(fields: &mut Fields<'_>) -> JobSpec {
    job::job(fields)
}

/// Reads what a job asks of the machine that runs it; ranges are checked by the caller.
pub(crate) fn resources(fields: &mut Fields<'_>) -> ResourceRequest {
    resources::resources(fields)
}

/// The same as TOML, which the rest of the reader knows. Null, which TOML lacks, means absent.
fn table_of(object: serde_json::Map<String, serde_json::Value>) -> Table {
    let present = object.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(field, value)| (field, value_of(value))).collect()
}

fn value_of(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::String("null".to_owned()), // In a list, where it is never right.
        serde_json::Value::Bool(value) => Value::Boolean(value),
        serde_json::Value::Number(number) => number_of(&number),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => Value::Array(items.into_iter().map(value_of).collect()),
        serde_json::Value::Object(object) => Value::Table(table_of(object)),
    }
}

fn number_of(number: &serde_json::Number) -> Value {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), _, _) => Value::Integer(whole),
        // No field takes a whole number beyond TOML's: as a text it is refused in its place.
        (None, None, Some(real)) => Value::Float(real),
        _ => Value::String(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn faults(json: &str) -> Vec<String> {
        read_job(json).unwrap_err().iter().map(|fault| fault.field.clone()).collect()
    }

    #[test]
    fn every_fault_of_a_job_is_named_at_once() {
        let fields = faults(
            r#"{"kind": "evaluate", "model": {"checkpoint": "x"}, "dataset": {"nam": "cifar10"}, "batch_size": 0, "sead": 1,
                "attack": {"kind": "apgd", "threat": {"norm": "l0", "epsilon": "eight"}, "iterations": 0, "restarts": -1}}"#,
        );
        let expected = [
            "dataset.name",
            "dataset.nam",
            "attack.threat.norm",
            "attack.threat.epsilon",
            "attack.iterations",
            "attack.restarts",
            "batch_size",
            "seed",
            "sead",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_faulty_kind_hides_no_fault_beside_it() {
        let fields = faults(
            r#"{"kind": "evalute", "model": {"job": 3}, "batch_size": "many", "sead": 1,
                "attack": {"kind": "agpd", "threat": {"norm": "linf", "epsilon": 2}, "iterations": 20000, "loss": "ce", "steps": 0}}"#,
        );
        let expected = [
            "kind",
            "model.job",
            "attack.kind",
            "attack.steps",
            "batch_size",
            "sead",
            "attack.threat.epsilon",
            "attack.iterations",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_network_comes_from_a_job_a_file_or_the_store_and_never_from_two() {
        let job = |model: &str| {
            format!(
                r#"{{"kind": "evaluate", "model": {model}, "dataset": {{"name": "cifar10"}}, "batch_size": 1, "seed": 0,
                    "attack": {{"kind": "apgd", "threat": {{"norm": "l2", "epsilon": 1}}, "iterations": 1}}}}"#
            )
        };
        assert_eq!(faults(&job("{}")), ["model.job"]);
        assert_eq!(faults(&job(r##"{"job": "#1", "checkpoint": "x"}"##)), ["model.job"]);
        assert_eq!(faults(&job(r#""student""#)), ["model"]);
        assert_eq!(faults(&job(r##"{"job": "#1", "artifact": "x"}"##)), ["model.job"]);
        assert_eq!(faults(&job(r#"{"artifact": "sha256:12"}"#)), ["model.artifact"]);
        assert!(read_job(&job(r##"{"job": "#1"}"##)).is_ok());
        assert!(read_job(&job(r#"{"artifact": "madry-linf"}"#)).is_ok());
    }

    #[test]
    fn null_means_absent_and_a_number_beyond_64_bits_is_refused_in_its_place() {
        let fields = faults(
            r#"{"kind": "evaluate", "model": {"checkpoint": "x"}, "dataset": {"name": "cifar10", "train_images": null},
                "attack": null, "batch_size": 1, "seed": 18446744073709551615}"#,
        );
        assert_eq!(fields, ["attack", "seed"]);
    }
}
