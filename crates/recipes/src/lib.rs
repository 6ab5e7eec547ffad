#![doc = include_str!("../README.md")]

mod layout;

pub use layout::{Column, FigureKind, FigureLayout, Layout, PaperNumbers, PaperPoint, RowLayout, Series, TableLayout};
