//! Reads one job from JSON.

use crate::{JobSpec, Violations, plan::decode};

/// Reads and validates a job.
///
/// # Errors
/// [`Violations`] with every fault: syntax, unknown or missing fields, wrong types, values out of range.
pub fn read_job(json: &str) -> Result<JobSpec, Violations> {
    let value: toml::Value = serde_json::from_str(json).map_err(|e| Violations::one("job", "", e.to_string()))?;
    let toml::Value::Table(table) = value else {
        return Err(Violations::one("job", value.to_string(), "a JSON object"));
    };
    let mut found = Vec::new();
    let spec = decode::job(table, "", &mut found);
    Violations::check(found)?;
    Ok(spec.expect("a job that could not be read leaves a violation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_job_is_named_at_once() {
        let faults = read_job(r#"{"kind": "evaluate", "model": {"checkpoint": "x"}, "batch_size": 0, "sead": 1}"#);
        let text = faults.unwrap_err().to_string();
        for part in ["batch_size", "sead", "seed", "attack", "dataset"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
