//! A table as cells of text: what the terminal, Markdown and LaTeX share.

use crate::number::NONE;

/// A table of texts with footnotes.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// How many columns, from the left, say what a row is about.
    pub(crate) naming: usize,
    /// What the other columns hold.
    pub(crate) content: Content,
    pub(crate) headers: Vec<Header>,
    pub(crate) rows: Vec<SheetRow>,
    /// Footnote n is marked by the n-th letter.
    pub(crate) footnotes: Vec<String>,
    /// What holds for the whole table.
    pub(crate) remarks: Vec<String>,
}

/// What a sheet's columns hold, and so to which side they are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Numbers,
    Texts,
}

/// A column's heading: its main line and lines below.
pub(crate) type Header = Vec<String>;

/// A row of cells.
#[derive(Clone, Debug)]
pub(crate) struct SheetRow {
    pub(crate) cells: Vec<Cell>,
    pub(crate) place: Place,
}

/// How a row stands to the one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It begins something new.
    Apart,
    /// It says more of the same thing.
    Below,
}

/// A value, with details that may stand beside or below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) value: String,
    pub(crate) details: Vec<String>,
    /// Letters of footnotes.
    pub(crate) marks: String,
}

impl Cell {
    pub(crate) fn plain(value: impl Into<String>) -> Self {
        Self { value: value.into(), ..Self::default() }
    }

    pub(crate) fn none() -> Self {
        Self::plain(NONE)
    }

    pub(crate) fn with_details(value: impl Into<String>, details: impl IntoIterator<Item = String>) -> Self {
        Self { value: value.into(), details: details.into_iter().collect(), ..Self::default() }
    }
}

impl SheetRow {
    pub(crate) fn apart(cells: Vec<Cell>) -> Self {
        Self { cells, place: Place::Apart }
    }

    pub(crate) fn below(cells: Vec<Cell>) -> Self {
        Self { cells, place: Place::Below }
    }
}

impl Sheet {
    /// Whether a column is aligned to the left.
    pub(crate) fn is_left(&self, column: usize) -> bool {
        column < self.naming || self.content == Content::Texts
    }
}

/// A heading of these lines.
pub(crate) fn header<const N: usize>(lines: [&str; N]) -> Header {
    lines.map(str::to_owned).into()
}

/// Texts in the order in which they were first needed.
#[derive(Default)]
pub(crate) struct Footnotes(pub(crate) Vec<String>);

impl Footnotes {
    /// The letter that marks `text`.
    pub(crate) fn mark(&mut self, text: &str) -> String {
        let index = self.0.iter().position(|known| known == text).unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        letter(index)
    }
}

/// a, b, … z, aa, ab, …
pub(crate) fn letter(index: usize) -> String {
    let last = char::from(b'a' + (index % 26) as u8);
    if index < 26 { last.to_string() } else { letter(index / 26 - 1) + &last.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footnote_letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 52].map(letter), ["a", "z", "aa", "ab", "ba"]);
    }

    #[test]
    fn a_footnote_that_recurs_keeps_its_letter() {
        let mut footnotes = Footnotes::default();
        assert_eq!(["x", "y", "x"].map(|text| footnotes.mark(text)), ["a", "b", "a"]);
    }
}
