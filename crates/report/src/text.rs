//! Aligned text for terminals.

use crate::{
    number::NONE,
    sheet::{Cell, Content, Place, Sheet, letter},
};

/// Notes are wrapped at the table's width, but at no less than this.
const LEAST_NOTE_WIDTH: usize = 80;

/// The sheet below its title.
pub(crate) fn render(title: &str, sheet: &Sheet) -> String {
    let header = stacked_header(sheet);
    let rows: Vec<Vec<Vec<String>>> = sheet.rows.iter().map(|row| stacked_row(&row.cells, sheet.naming)).collect();
    let widths = widths(&header, &rows);
    let width = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    let rule = "─".repeat(width);

    let mut lines = vec![title.to_owned(), rule.clone()];
    lines.extend(aligned(&header, &widths, sheet.content));
    lines.push(rule.clone());
    for (index, (row, place)) in rows.iter().zip(sheet.rows.iter().map(|row| row.place)).enumerate() {
        // Rows of one line each need no space between them.
        if index > 0 && place == Place::Apart && rows.iter().any(|row| row.iter().any(|cell| cell.len() > 1)) {
            lines.push(String::new());
        }
        lines.extend(aligned(row, &widths, sheet.content));
    }
    lines.push(rule);
    lines.extend(notes(sheet, width.max(LEAST_NOTE_WIDTH)));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The naming columns become one, so that a table fits a terminal.
fn stacked_header(sheet: &Sheet) -> Vec<Vec<String>> {
    let name = match sheet.headers.first() {
        Some(only) if sheet.naming == 1 => only.clone(),
        _ => vec!["network".to_owned()],
    };
    let mut columns = vec![name];
    columns.extend(sheet.headers[sheet.naming..].iter().cloned());
    columns
}

fn stacked_row(row: &[Cell], naming: usize) -> Vec<Vec<String>> {
    let mut columns = vec![names(&row[..naming])];
    columns.extend(row[naming..].iter().map(lines));
    columns
}

/// What a row is about: its name, and below it whatever else tells it from others.
fn names(cells: &[Cell]) -> Vec<String> {
    match cells {
        [name, method, network, teacher] => {
            let mut lines = vec![name.value.clone(), format!("  {}", network.value)];
            lines.extend([&method.value].into_iter().chain(&method.details).map(|line| format!("  {line}")));
            if teacher.value != NONE {
                lines.push(format!("  teacher: {}", marked(teacher)));
            }
            lines
        }
        cells => {
            let name = cells.iter().map(marked).collect::<Vec<_>>().join(" ");
            let details = cells.iter().flat_map(|cell| &cell.details).map(|detail| format!("  {detail}"));
            std::iter::once(name).chain(details).collect()
        }
    }
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

/// The lines of one row: names and texts to the left, numbers to the right.
fn aligned(row: &[Vec<String>], widths: &[usize], content: Content) -> Vec<String> {
    let height = row.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (lines, &width))| {
            let text = lines.get(index).map_or("", String::as_str);
            if column == 0 || content == Content::Texts { format!("{text:<width$}") } else { format!("{text:>width$}") }
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
