//! GitHub-flavoured Markdown.

use crate::sheet::{Cell, Sheet, letter};

pub(crate) fn render(sheet: &Sheet) -> String {
    let headers: Vec<String> = sheet.headers.iter().map(|lines| escape(&lines.join(" "))).collect();
    let rule: Vec<&str> = (0..headers.len()).map(|column| if sheet.is_left(column) { ":--" } else { "--:" }).collect();
    let mut lines = vec![line(&headers), line(&rule)];
    lines.extend(sheet.rows.iter().map(|row| line(&row.cells.iter().map(cell).collect::<Vec<_>>())));
    let footnotes = sheet.footnotes.iter().enumerate();
    let footnotes = footnotes.map(|(index, text)| format!("<sup>{}</sup> {}", letter(index), escape(text)));
    for note in footnotes.chain(sheet.remarks.iter().map(|remark| escape(remark))) {
        lines.push(String::new());
        lines.push(note);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn line(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

fn cell(cell: &Cell) -> String {
    let marks = match cell.marks.as_str() {
        "" => String::new(),
        marks => format!("<sup>{marks}</sup>"),
    };
    let details: String = cell.details.iter().map(|detail| format!("<br>{}", escape(detail))).collect();
    format!("{}{marks}{details}", escape(&cell.value))
}

/// Takes their meaning from characters that Markdown, or HTML inside of it, would interpret.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' | '#' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_name_breaks_the_table() {
        assert_eq!(escape("a|b_c[seed=1]<x>\n`"), "a\\|b\\_c\\[seed=1\\]&lt;x&gt; \\`");
    }
}
