//! Aligned text for terminals.

use crate::{
    Table,
    number::NONE,
    sheet::{Cell, Header, NAMING_COLUMNS, Sheet, letter, sheet},
};

/// Notes are wrapped at the table's width, but at no less than this.
const LEAST_NOTE_WIDTH: usize = 80;

pub(crate) fn render(table: &Table) -> String {
    let sheet = sheet(table);
    let header = stacked_header(&sheet.headers);
    let rows: Vec<Vec<Vec<String>>> = sheet.rows.iter().map(|row| stacked_row(row)).collect();
    let widths = widths(&header, &rows);
    let width = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    let rule = "─".repeat(width);

    let mut lines = vec![table.plan.clone(), rule.clone()];
    lines.extend(aligned(&header, &widths));
    lines.push(rule.clone());
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            lines.push(String::new());
        }
        lines.extend(aligned(row, &widths));
    }
    lines.push(rule);
    lines.extend(notes(&sheet, width.max(LEAST_NOTE_WIDTH)));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The naming columns become one, so that a table fits a terminal.
fn stacked_header(headers: &[Header]) -> Vec<Vec<String>> {
    let mut columns = vec![vec!["network".to_owned()]];
    columns.extend(headers[NAMING_COLUMNS..].iter().cloned());
    columns
}

fn stacked_row(row: &[Cell]) -> Vec<Vec<String>> {
    let mut columns = vec![naming(row)];
    columns.extend(row[NAMING_COLUMNS..].iter().map(lines));
    columns
}

fn naming(row: &[Cell]) -> Vec<String> {
    let [name, method, network, teacher] = &row[..NAMING_COLUMNS] else {
        unreachable!("a row begins with the naming columns")
    };
    let mut lines = vec![name.value.clone(), format!("  {}", network.value)];
    lines.extend([&method.value].into_iter().chain(&method.details).map(|line| format!("  {line}")));
    if teacher.value != NONE {
        lines.push(format!("  teacher: {}", marked(teacher)));
    }
    lines
}

fn lines(cell: &Cell) -> Vec<String> {
    let mut lines = vec![marked(cell)];
    lines.extend(cell.details.iter().cloned());
    lines
}

fn marked(cell: &Cell) -> String {
    match cell.marks.as_str() {
        "" => cell.value.clone(),
        marks => format!("{} {marks})", cell.value),
    }
}

fn widths(header: &[Vec<String>], rows: &[Vec<Vec<String>>]) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&header[column]]);
        cells.flatten().map(|line| line.chars().count()).max().unwrap_or(0)
    };
    (0..header.len()).map(width).collect()
}

/// The lines of one row: the first column to the left, numbers to the right.
fn aligned(row: &[Vec<String>], widths: &[usize]) -> Vec<String> {
    let height = row.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (lines, &width))| {
            let text = lines.get(index).map_or("", String::as_str);
            if column == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    (0..height).map(line).collect()
}

fn notes(sheet: &Sheet, width: usize) -> Vec<String> {
    let footnotes = sheet.footnotes.iter().enumerate().map(|(index, text)| format!("{}) {text}", letter(index)));
    footnotes.chain(sheet.remarks.iter().cloned()).flat_map(|note| wrapped(&note, width)).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("   {word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
