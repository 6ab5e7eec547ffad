//! What a pickle holds.

use std::fmt;

use crate::Fault;

/// A value's position in its pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(crate) u32);

/// What a value is. Strings are bytes: Python 2 did not tell the two apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond 64 bits.
    LargeInt,
    /// A real number.
    Float(f64),
    /// Text or bytes.
    Bytes(&'a [u8]),
    /// A reference to Python code.
    Global {
        /// Where it is defined.
        module: &'a str,
        /// Its name there.
        name: &'a str,
    },
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A set.
    Set(Vec<Id>),
    /// Keys and values.
    Dict(Vec<(Id, Id)>),
    /// What a call would return.
    Object(Object),
    /// What the id names lies elsewhere.
    Persistent(Id),
}

/// What a call would return, and what was done to it afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What is called.
    pub function: Id,
    /// With what; a tuple, in sound pickles.
    pub arguments: Id,
    /// The state that it would be handed.
    pub state: Option<Id>,
    /// Items that it would be extended by.
    pub items: Vec<Id>,
    /// Keys and values that it would be filled with.
    pub entries: Vec<(Id, Id)>,
}

pub(crate) struct Node<'a> {
    pub(crate) offset: usize,
    pub(crate) kind: Kind<'a>,
}

/// A pickle's values.
pub struct Pickle<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) root: Id,
}

impl fmt::Debug for Pickle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may hold themselves: they are not followed.
        f.debug_struct("Pickle").field("values", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl<'a> Pickle<'a> {
    /// The value that unpickling would give.
    pub fn root(&self) -> Value<'_, 'a> {
        self.at(self.root)
    }

    /// Every value, in the order in which they were made.
    pub fn values(&self) -> impl Iterator<Item = Value<'_, 'a>> {
        (0..self.nodes.len()).map(|index| self.at(Id(index as u32))) // Fewer than MOST_VALUES.
    }

    /// The value at a position.
    pub fn at(&self, id: Id) -> Value<'_, 'a> {
        Value { pickle: self, id }
    }
}

/// A value in its pickle.
#[derive(Clone, Copy)]
pub struct Value<'p, 'a> {
    pickle: &'p Pickle<'a>,
    id: Id,
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.describe(), self.offset())
    }
}

impl<'p, 'a> Value<'p, 'a> {
    fn node(self) -> &'p Node<'a> {
        &self.pickle.nodes[self.id.0 as usize]
    }

    /// Its position.
    pub fn id(self) -> Id {
        self.id
    }

    /// Where the opcode is that made it, in bytes from the pickle's beginning.
    pub fn offset(self) -> usize {
        self.node().offset
    }

    /// What it is.
    pub fn kind(self) -> &'p Kind<'a> {
        &self.node().kind
    }

    /// Another value of the same pickle.
    pub fn at(self, id: Id) -> Self {
        Self { id, ..self }
    }

    /// A whole number.
    pub fn integer(self) -> Option<i64> {
        match self.kind() {
            Kind::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Text or bytes.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Text.
    pub fn text(self) -> Option<&'a str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The module and name of a reference to Python code.
    pub fn global(self) -> Option<(&'a str, &'a str)> {
        match self.kind() {
            Kind::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn list(self) -> Option<Vec<Self>> {
        match self.kind() {
            Kind::List(items) => Some(items.iter().map(|&id| self.at(id)).collect()),
            _ => None,
        }
    }

    /// The items of a tuple.
    pub fn tuple(self) -> Option<Vec<Self>> {
        match self.kind() {
            Kind::Tuple(items) => Some(items.iter().map(|&id| self.at(id)).collect()),
            _ => None,
        }
    }

    /// The items of a tuple, but no more than so many: a large one may stand in many places, each of which would copy it.
    pub fn beginning(self, most: usize) -> Option<Vec<Self>> {
        match self.kind() {
            Kind::Tuple(items) => Some(items.iter().take(most).map(|&id| self.at(id)).collect()),
            _ => None,
        }
    }

    /// The keys and values of a dict, or of an object that is filled like one (`OrderedDict`).
    pub fn entries(self) -> Option<impl Iterator<Item = (Self, Self)>> {
        let entries = match self.kind() {
            Kind::Dict(entries) => entries,
            Kind::Object(object) => &object.entries,
            _ => return None,
        };
        Some(entries.iter().map(move |&(key, value)| (self.at(key), self.at(value))))
    }

    /// The value under a text, of those that [`Self::entries`] gives; the last one counts, as in Python.
    pub fn entry(self, key: &str) -> Option<Self> {
        self.entries()?.filter(|(name, _)| name.bytes() == Some(key.as_bytes())).last().map(|(_, value)| value)
    }

    /// What it is, in words.
    pub fn describe(self) -> &'static str {
        match self.kind() {
            Kind::None => "None",
            Kind::Bool(_) => "a truth value",
            Kind::Int(_) | Kind::LargeInt | Kind::Float(_) => "a number",
            Kind::Bytes(_) => "a string",
            Kind::Global { .. } => "a reference to Python code",
            Kind::List(_) => "a list",
            Kind::Tuple(_) => "a tuple",
            Kind::Set(_) => "a set",
            Kind::Dict(_) => "a dict",
            Kind::Object(_) => "an object",
            Kind::Persistent(_) => "a reference to outside of the pickle",
        }
    }

    /// The fault that something else was expected here.
    pub fn wrong(self, expected: impl ToString, found: impl ToString) -> Fault {
        Fault { offset: self.offset(), expected: expected.to_string(), found: found.to_string() }
    }
}
