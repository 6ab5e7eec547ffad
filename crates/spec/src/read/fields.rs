//! A table that is read field by field. Reading goes on after a fault, so that all of them come out at once.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Violation, validate::join};

/// Reads a `T`. Whatever is faulty or missing becomes a fault, and a valid value stands in for it.
pub(crate) type Reading<T> = fn(&mut Fields<'_>) -> T;

/// What is left of a table, and what was wrong with the rest.
pub(crate) struct Fields<'a> {
    table: Table,
    path: String,
    found: &'a mut Vec<Violation>,
    asked: Vec<&'static str>,
    /// Without a readable kind nobody knows which fields belong here, so none is missing.
    lenient: bool,
}

impl<'a> Fields<'a> {
    /// Paths in faults begin with `path`.
    pub(crate) fn new(table: Table, path: &str, found: &'a mut Vec<Violation>) -> Self {
        Self { table, path: path.to_owned(), found, asked: Vec::new(), lenient: false }
    }

    /// A field that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, field: &'static str, stand_in: T) -> T {
        match self.take(field) {
            Some(value) => self.typed(field, value).unwrap_or(stand_in),
            None => {
                self.miss(field);
                stand_in
            }
        }
    }

    /// A field that may be absent; a faulty one counts as absent once it is named.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, field: &'static str) -> Option<T> {
        let value = self.take(field)?;
        self.typed(field, value)
    }

    /// A whole number that may be absent; a faulty one counts as absent once it is named.
    pub(crate) fn whole<T: TryFrom<i64>>(&mut self, field: &'static str, range: RangeInclusive<i64>) -> Option<T> {
        let value = self.take(field)?;
        let number = value.as_integer().filter(|number| range.contains(number)).and_then(|it| T::try_from(it).ok());
        if number.is_none() {
            self.fault(field, text_of(&value), format!("must be {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A table that must be there.
    pub(super) fn table<T>(&mut self, field: &'static str, read: Reading<T>) -> T {
        self.optional_table(field, read).unwrap_or_else(|| {
            self.miss(field);
            stand_in(read)
        })
    }

    /// A table that may be absent.
    pub(crate) fn optional_table<T>(&mut self, field: &'static str, read: Reading<T>) -> Option<T> {
        let table = match self.take(field)? {
            Value::Table(table) => table,
            other => {
                self.fault(field, text_of(&other), "must be a table");
                return Some(stand_in(read));
            }
        };
        let mut below = Fields::new(table, &join(&self.path, field), self.found);
        let value = read(&mut below);
        below.finish();
        Some(value)
    }

    /// Whether a field is there that nobody has asked for yet.
    pub(super) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    /// Whether the fields are read as one of several forms, since none was named.
    pub(super) fn is_guessed(&self) -> bool {
        self.lenient
    }

    /// One of several forms, told apart by the field `kind`.
    ///
    /// Where that is unreadable, the form that knows most of the fields is taken.
    pub(super) fn tagged<T>(&mut self, forms: &[(&str, Reading<T>)]) -> T {
        let kind = self.take("kind");
        let known = forms.iter().find(|(name, _)| kind.as_ref().and_then(Value::as_str) == Some(*name));
        if let Some((_, read)) = known {
            return read(self);
        }
        let names: Vec<_> = forms.iter().map(|(name, _)| *name).collect();
        self.fault("kind", kind.as_ref().map(text_of).unwrap_or_default(), format!("must be {}", or(&names)));
        self.likeliest(forms.iter().map(|(_, read)| *read).collect())
    }

    /// Reads every form, so that no field that one of them knows is called unknown.
    fn likeliest<T>(&mut self, mut forms: Vec<Reading<T>>) -> T {
        self.lenient = true;
        forms.sort_by_key(|read| self.unknown_to(*read));
        let mut values: Vec<T> = forms.into_iter().map(|read| read(self)).collect();
        values.swap_remove(0)
    }

    fn unknown_to<T>(&self, read: Reading<T>) -> usize {
        let mut found = Vec::new();
        let mut trial = Fields::new(self.table.clone(), "", &mut found);
        read(&mut trial);
        trial.table.len()
    }

    /// Reads anything out of a single value; `None` where that is a fault.
    fn typed<T: DeserializeOwned>(&mut self, field: &str, value: Value) -> Option<T> {
        let text = text_of(&value);
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                let error: toml::de::Error = error;
                let allowed = in_plain_words(error.message(), &text);
                self.fault(field, text, allowed);
                None
            }
        }
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        if !self.asked.contains(&field) {
            self.asked.push(field);
        }
        self.table.remove(field)
    }

    fn miss(&mut self, field: &str) {
        if !self.lenient {
            self.fault(field, String::new(), "is missing");
        }
    }

    /// Names a fault of a field.
    pub(super) fn fault(&mut self, field: &str, value: String, allowed: impl Into<String>) {
        let allowed = allowed.into().trim().to_owned();
        self.found.push(Violation { field: join(&self.path, field), value, allowed });
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(mut self) {
        let known: Vec<_> = self.asked.iter().map(|field| format!("`{field}`")).collect();
        for (field, value) in std::mem::take(&mut self.table) {
            let allowed = format!("unknown field `{field}`, expected {}", or(&known));
            self.fault(&field, text_of(&value), allowed);
        }
    }
}

/// What serde says of a number that is none or does not fit, in words that are not of Rust's types. Narrower ranges are checked once it
/// fits.
fn in_plain_words(message: &str, given: &str) -> String {
    let Some((fault, expected)) = message.trim_end().rsplit_once(", expected ") else { return message.to_owned() };
    let (least, most): (i128, i128) = match expected {
        "u8" => (0, u8::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "a nonzero u32" => (1, u32::MAX.into()),
        // TOML has no larger ones.
        "u64" | "usize" => (0, i64::MAX.into()),
        "a nonzero u64" => (1, i64::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" => (i64::MIN.into(), i64::MAX.into()),
        "f32" | "f64" => return "must be a number".to_owned(),
        _ => return message.to_owned(),
    };
    // The one number that was given, or that of a list which is at fault.
    let number: Option<i128> = given.parse().ok().or_else(|| fault.split('`').nth(1)?.parse().ok());
    match number {
        Some(number) if number < least => format!("must be {least} or more"),
        Some(number) if number > most => format!("must be at most {most}"),
        Some(_) | None => "must be a whole number".to_owned(),
    }
}

/// What comes of nothing at all.
fn stand_in<T>(read: Reading<T>) -> T {
    read(&mut Fields::new(Table::new(), "", &mut Vec::new()))
}

fn or(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [many @ .., last] => format!("{} or {last}", many.join(", ")),
    }
}

/// A value as people wrote it, or nearly so.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// What is allowed where this value is not, of a field of type `T`.
    fn refused<T: DeserializeOwned>(value: impl Into<Value>) -> String {
        let mut found = Vec::new();
        let table = Table::from_iter([("epochs".to_owned(), value.into())]);
        assert!(Fields::new(table, "job.a", &mut found).optional::<T>("epochs").is_none());
        found.pop().expect("it is a fault").to_string()
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_in_plain_words() {
        assert_eq!(refused::<NonZeroU32>(0), "job.a.epochs = 0: must be 1 or more");
        assert_eq!(refused::<NonZeroU32>(-3), "job.a.epochs = -3: must be 1 or more");
        assert_eq!(refused::<u32>(-1), "job.a.epochs = -1: must be 0 or more");
        assert_eq!(refused::<u32>(1_i64 << 40), "job.a.epochs = 1099511627776: must be at most 4294967295");
        assert_eq!(refused::<u64>(-1), "job.a.epochs = -1: must be 0 or more");
        assert_eq!(
            refused::<u64>("18446744073709551615"),
            format!("job.a.epochs = {}: must be at most {}", u64::MAX, i64::MAX)
        );
        assert_eq!(refused::<u32>("many"), "job.a.epochs = many: must be a whole number");
        assert_eq!(refused::<u32>(1.5), "job.a.epochs = 1.5: must be a whole number");
        assert_eq!(refused::<f64>("half"), "job.a.epochs = half: must be a number");
        assert_eq!(refused::<Vec<u32>>(vec![1, -1]), "job.a.epochs = [1, -1]: must be 0 or more");
    }

    #[test]
    fn a_whole_number_is_taken_within_its_range_alone() {
        let read = |value: Value| {
            let mut found = Vec::new();
            let table = Table::from_iter([("max_retries".to_owned(), value)]);
            let number = Fields::new(table, "", &mut found).whole::<u32>("max_retries", 0..=100);
            (number, found.pop().map(|fault| fault.to_string()))
        };
        assert_eq!(read(Value::Integer(100)), (Some(100), None));
        for (value, text) in [(Value::Integer(-1), "-1"), (Value::Integer(101), "101"), ("two".into(), "two")] {
            assert_eq!(read(value), (None, Some(format!("max_retries = {text}: must be 0 to 100"))));
        }
    }
}
