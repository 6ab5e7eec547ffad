//! A field of a job that is set to another value than the recipe's.

use std::{fmt, str::FromStr};

use toml::{Table, Value};

use crate::{RecipeError, pattern::Pattern, table};

/// Sets a field of one job, or, by a name with `*`, of all trainings of such names. Written `JOB.FIELD=VALUE`, such as
/// `linf-resnet50-sat.epochs=10` or `*.precision=f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    jobs: Pattern,
    field: String,
    value: Value,
}

impl Setting {
    /// Sets the field wherever the setting applies.
    pub(crate) fn apply(&self, jobs: &mut [(String, Table)]) -> Result<(), RecipeError> {
        let names = || jobs.iter().map(|(name, _)| name.clone()).collect();
        if !jobs.iter().any(|(name, fields)| self.is_of(name, fields)) {
            return Err(RecipeError::UnknownJob { job: self.jobs.to_string(), known: names() });
        }
        for (name, fields) in jobs {
            if self.is_of(name, fields) && !table::set(fields, &self.field, self.value.clone()) {
                return Err(RecipeError::MalformedSetting { text: self.to_string() });
            }
        }
        Ok(())
    }

    fn is_of(&self, name: &str, fields: &Table) -> bool {
        let is_training = || fields.get("kind").and_then(Value::as_str) == Some("train");
        self.jobs.matches(name) && (!self.jobs.is_wild() || is_training())
    }
}

impl FromStr for Setting {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || RecipeError::MalformedSetting { text: text.to_owned() };
        let (place, value) = text.split_once('=').ok_or_else(malformed)?;
        let (job, field) = place.trim().split_once('.').ok_or_else(malformed)?;
        let is_path = field.split('.').all(|part| !part.is_empty());
        if job.is_empty() || !is_path || matches!(field, "name" | "kind" | "sweep") {
            return Err(malformed());
        }
        // What is no TOML is a text whose quotes the shell took.
        let value = value.trim().parse().unwrap_or_else(|_| Value::String(value.trim().to_owned()));
        Ok(Self { jobs: Pattern::new(job), field: field.to_owned(), value })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}={}", self.jobs, self.field, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Vec<(String, Table)> {
        let job = |name: &str, text: &str| (name.to_owned(), text.parse().unwrap());
        vec![
            job("a-1", "kind = 'train'\nepochs = 1\narch = 'dnn'"),
            job("a-2", "kind = 'train'\nepochs = 2"),
            job("a-1-apgd", "kind = 'evaluate'"),
        ]
    }

    #[track_caller]
    fn set(text: &str) -> Vec<(String, Table)> {
        let mut jobs = jobs();
        text.parse::<Setting>().unwrap().apply(&mut jobs).unwrap();
        jobs
    }

    #[test]
    fn one_job_of_any_kind_is_set_by_its_name_and_all_trainings_by_a_star() {
        assert_eq!(set("a-1.epochs=7")[0].1["epochs"], 7.into());
        assert_eq!(set("a-1-apgd.images=100")[2].1["images"], 100.into());
        let all = set("*.precision=bf16");
        assert_eq!((&all[0].1["precision"], &all[1].1["precision"]), (&"bf16".into(), &"bf16".into()));
        assert!(!all[2].1.contains_key("precision"), "{all:?}");
    }

    #[test]
    fn values_are_toml_or_a_text() {
        assert_eq!(set("a-1.optimizer.learning_rate=0.5")[0].1["optimizer"]["learning_rate"], 0.5.into());
        assert_eq!(set("a-1.arch=resnet18/4")[0].1["arch"], "resnet18/4".into());
        assert_eq!(set("a-1.arch=\"vgg11\"")[0].1["arch"], "vgg11".into());
    }

    #[test]
    fn what_names_no_job_or_no_field_is_refused() {
        for text in ["epochs=1", "a-1.epochs", ".epochs=1", "a-1.=1", "a-1.name=b", "a-1.method..x=1"] {
            assert!(matches!(text.parse::<Setting>(), Err(RecipeError::MalformedSetting { .. })), "{text}");
        }
        let unknown = "b.epochs=1".parse::<Setting>().unwrap().apply(&mut jobs()).unwrap_err().to_string();
        assert!(unknown.contains('b') && unknown.contains("a-1, a-2, a-1-apgd"), "{unknown}");
        let value = "a-1.epochs.x=1".parse::<Setting>().unwrap().apply(&mut jobs());
        assert!(matches!(value, Err(RecipeError::MalformedSetting { .. })));
    }
}
