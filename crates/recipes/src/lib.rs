#![doc = include_str!("../README.md")]

mod catalogue;
mod compose;
mod difference;
mod error;
mod layout;
mod pattern;
mod recipe;
mod seeds;
mod selection;
mod setting;
mod shelf;
mod switch;
mod table;
mod text;

pub use difference::Difference;
pub use error::RecipeError;
pub use layout::{Column, FigureKind, FigureLayout, Layout, PaperNumbers, PaperPoint, RowLayout, Series, TableLayout};
pub use recipe::Recipe;
pub use seeds::Seeds;
pub use setting::Setting;
pub use switch::{Side, Switch, Switches};
