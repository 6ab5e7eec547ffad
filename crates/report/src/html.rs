//! An HTML table with its footnotes, for a page that says how it looks.

use crate::sheet::{Cell, Sheet, letter};

pub(crate) fn render(caption: &str, sheet: &Sheet) -> String {
    let side = |column: usize| if sheet.is_left(column) { "" } else { " class=\"number\"" };
    let heading = |(column, lines): (usize, &Vec<String>)| {
        format!(
            "<th scope=\"col\"{}>{}</th>",
            side(column),
            lines.iter().map(|it| escape(it)).collect::<Vec<_>>().join("<br>")
        )
    };
    let headings: String = sheet.headers.iter().enumerate().map(heading).collect();
    let field = |(column, it): (usize, &Cell)| match column {
        0 => format!("<th scope=\"row\">{}</th>", cell(it)),
        column => format!("<td{}>{}</td>", side(column), cell(it)),
    };
    let row = |cells: &Vec<Cell>| format!("<tr>{}</tr>\n", cells.iter().enumerate().map(field).collect::<String>());
    let rows: String = sheet.rows.iter().map(|it| row(&it.cells)).collect();
    let footnotes = sheet.footnotes.iter().enumerate();
    let footnotes = footnotes.map(|(index, text)| format!("<sup>{}</sup> {}", letter(index), escape(text)));
    let notes: String = footnotes
        .chain(sheet.remarks.iter().map(|remark| escape(remark)))
        .map(|note| format!("<p class=\"note\">{note}</p>\n"))
        .collect();
    let caption = escape(caption);
    format!(
        "<table>\n<caption>{caption}</caption>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n{notes}"
    )
}

fn cell(cell: &Cell) -> String {
    let marks = match cell.marks.as_str() {
        "" => String::new(),
        marks => format!("<sup>{}</sup>", escape(marks)),
    };
    let details: String =
        cell.details.iter().map(|detail| format!("<br><span class=\"note\">{}</span>", escape(detail))).collect();
    format!("{}{marks}{details}", escape(&cell.value))
}

/// Text that no browser takes for anything else, between tags or inside of quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{Content, SheetRow, header};

    #[test]
    fn a_hostile_name_is_a_text_in_every_place() {
        let hostile = "<script>alert('1')</script>";
        let cells = vec![Cell { marks: "a".into(), ..Cell::with_details(hostile, [hostile.to_owned()]) }];
        let sheet = Sheet {
            naming: 1,
            content: Content::Numbers,
            headers: vec![header([hostile])],
            rows: vec![SheetRow::apart(cells)],
            footnotes: vec![hostile.to_owned()],
            remarks: vec![hostile.to_owned()],
        };
        let html = render(hostile, &sheet);
        assert_eq!(html.matches("&lt;script&gt;").count(), 6, "{html}");
        assert!(!html.contains("<script"), "{html}");
    }
}
