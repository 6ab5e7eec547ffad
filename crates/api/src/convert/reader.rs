//! Reading with a path to every fault.

use std::{fmt::Display, str::FromStr};

use rrm_spec::{Violation, Violations};

use super::OnWire;

/// Where in a message the reading is, and what was found so far.
pub(crate) struct Reader<'a> {
    path: String,
    found: &'a mut Vec<Violation>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(found: &'a mut Vec<Violation>) -> Self {
        Self { path: String::new(), found }
    }

    /// A reader of a field.
    pub(crate) fn at(&mut self, field: &str) -> Reader<'_> {
        Reader { path: join(&self.path, field), found: self.found }
    }

    /// Reports that the value here is not allowed.
    pub(crate) fn refuse<T>(&mut self, value: impl Display, allowed: &str) -> Option<T> {
        let (field, value) = (self.path.clone(), value.to_string());
        self.found.push(Violation { field, value, allowed: allowed.to_owned() });
        None
    }

    /// Reports that something is missing here.
    pub(crate) fn missing<T>(&mut self) -> Option<T> {
        self.refuse("", "must be present")
    }

    /// Takes over faults that were found in the value here.
    pub(crate) fn adopt(&mut self, faults: Result<(), Violations>) {
        let Err(faults) = faults else { return };
        let below = faults.iter().map(|fault| Violation { field: join(&self.path, &fault.field), ..fault.clone() });
        self.found.extend(below);
    }

    /// Reads a field.
    pub(crate) fn field<T: OnWire>(&mut self, field: &str, wire: T::Wire) -> Option<T> {
        T::from_wire(wire, &mut self.at(field))
    }

    /// Reads a field that must be present.
    pub(crate) fn required<T: OnWire>(&mut self, field: &str, wire: Option<T::Wire>) -> Option<T> {
        match wire {
            Some(wire) => self.field(field, wire),
            None => self.at(field).missing(),
        }
    }

    /// Reads a field that may be absent. The outer `None` stands for a fault, the inner for absence.
    pub(crate) fn optional<T: OnWire>(&mut self, field: &str, wire: Option<T::Wire>) -> Option<Option<T>> {
        match wire {
            Some(wire) => self.field(field, wire).map(Some),
            None => Some(None),
        }
    }

    /// Reads every item, also beyond the first faulty one.
    pub(crate) fn list<T: OnWire>(&mut self, field: &str, items: Vec<T::Wire>) -> Option<Vec<T>> {
        let read: Vec<Option<T>> =
            items.into_iter().enumerate().map(|(i, item)| self.field(&format!("{field}[{i}]"), item)).collect();
        read.into_iter().collect()
    }

    /// Reads the text here.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self, text: &str) -> Option<T> {
        text.parse().map_or_else(|e: T::Err| self.refuse(text, &e.to_string()), Some)
    }
}

fn join(path: &str, field: &str) -> String {
    match (path, field) {
        ("", field) => field.to_owned(),
        (path, "") => path.to_owned(),
        (path, field) => format!("{path}.{field}"),
    }
}
