#![doc = include_str!("../README.md")]

mod fault;
mod machine;
mod value;

pub use fault::Fault;
pub use machine::{MOST_VALUES, parse, parse_first};
pub use value::{Id, Kind, Object, Pickle, Value};
