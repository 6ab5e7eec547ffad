//! Aligned columns.

use crate::output::{Output, Tone, printable};

/// One cell: a text and what it is about.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: printable(&text), tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone, ..Self::from(text.into()) }
    }
}

/// On which side a column's texts are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A table with a heading.
pub(crate) struct Columns<const N: usize> {
    headings: [(&'static str, Side); N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Columns<N> {
    pub(crate) fn new(headings: [(&'static str, Side); N]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Lines, the heading first.
    pub(crate) fn render(&self, output: Output) -> String {
        let heading = self.headings.map(|(text, _)| Cell::toned(text, Tone::Strong));
        let widths: Vec<usize> = (0..N).map(|column| self.width(column)).collect();
        let lines = std::iter::once(&heading).chain(&self.rows).map(|row| {
            let cells = row.iter().zip(&widths).zip(&self.headings).enumerate();
            let cells = cells.map(|(column, ((cell, &width), (_, side)))| {
                let blank = " ".repeat(width - cell.text.chars().count());
                let text = output.paint(&cell.text, cell.tone);
                match side {
                    // Blanks at a line's end would only make it wrap.
                    Side::Left if column + 1 == N => text,
                    Side::Left => text + &blank,
                    Side::Right => blank + &text,
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        });
        lines.collect()
    }

    fn width(&self, column: usize) -> usize {
        let texts = self.rows.iter().map(|row| row[column].text.as_str()).chain([self.headings[column].0]);
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn columns_are_aligned_and_rows_unbroken() {
        let mut columns = Columns::new([("id", Side::Right), ("name", Side::Left), ("state", Side::Left)]);
        columns.push(["7".into(), "teacher".into(), "ok".into()]);
        columns.push(["12".into(), "a\nb".into(), "".into()]);
        let text = columns.render(Output::new(Format::Json));
        assert_eq!(text, "id  name     state\n 7  teacher  ok\n12  a b\n");
    }
}
