//! The teacher of a network that is attacked, where it goes without saying.

use std::collections::HashMap;

use toml::{Table, Value};

use super::decode::Written;

/// Gives every evaluation by an adaptive attack, where it names no teacher, that of the job that it evaluates. What cannot be found
/// here is missed where the job is read.
pub(super) fn fill(mut written: Vec<Written>) -> Vec<Written> {
    let teachers: HashMap<String, Value> = written.iter().filter_map(teacher_by_name).collect();
    for job in &mut written {
        if is_adaptive(&job.fields)
            && !job.fields.contains_key("teacher")
            && let Some(teacher) = evaluated(&job.fields).and_then(|network| teachers.get(network))
        {
            job.fields.insert("teacher".to_owned(), teacher.clone());
        }
    }
    written
}

fn teacher_by_name(job: &Written) -> Option<(String, Value)> {
    let teacher = job.fields.get("method")?.get("teacher")?;
    Some((job.name()?.to_owned(), teacher.clone()))
}

fn is_adaptive(job: &Table) -> bool {
    let kind = |table: Option<&Value>| table?.get("kind")?.as_str().map(str::to_owned);
    job.get("kind").and_then(Value::as_str) == Some("evaluate")
        && kind(job.get("attack")).as_deref() == Some("adaptive")
}

fn evaluated(job: &Table) -> Option<&str> {
    job.get("model")?.get("job")?.as_str()
}
