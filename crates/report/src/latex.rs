//! LaTeX with booktabs.

use crate::sheet::{Cell, Place, Sheet, letter};

pub(crate) fn render(sheet: &Sheet) -> String {
    let columns: String =
        (0..sheet.headers.len()).map(|column| if sheet.is_left(column) { 'l' } else { 'r' }).collect();
    let mut lines = vec![
        "% Needs \\usepackage{booktabs}.".to_owned(),
        format!("\\begin{{tabular}}{{{columns}}}"),
        "\\toprule".to_owned(),
    ];
    let heading_lines = sheet.headers.iter().map(Vec::len).max().unwrap_or(0);
    for index in 0..heading_lines {
        let cells = sheet.headers.iter().map(|header| escape(header.get(index).map_or("", String::as_str)));
        lines.push(line(cells));
    }
    lines.push("\\midrule".to_owned());
    let grouped = sheet.rows.iter().any(|row| row.place == Place::Below);
    for (index, row) in sheet.rows.iter().enumerate() {
        if grouped && index > 0 && row.place == Place::Apart {
            lines.push("\\addlinespace".to_owned());
        }
        lines.push(line(row.cells.iter().map(cell)));
    }
    lines.extend(["\\bottomrule".to_owned(), "\\end{tabular}".to_owned()]);
    let footnotes = sheet.footnotes.iter().enumerate();
    let footnotes = footnotes.map(|(index, text)| format!("\\textsuperscript{{{}}} {}", letter(index), escape(text)));
    for note in footnotes.chain(sheet.remarks.iter().map(|remark| escape(remark))) {
        lines.push(String::new());
        lines.push(format!("\\noindent {note}"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("{} \\\\", cells.collect::<Vec<_>>().join(" & "))
}

fn cell(cell: &Cell) -> String {
    let marks = match cell.marks.as_str() {
        "" => String::new(),
        marks => format!("\\textsuperscript{{{marks}}}"),
    };
    let details = match cell.details.as_slice() {
        [] => String::new(),
        details => format!(" ({})", details.iter().map(|detail| escape(detail)).collect::<Vec<_>>().join(", ")),
    };
    format!("{}{marks}{details}", escape(&cell.value))
}

/// Takes their meaning from characters that LaTeX would interpret, and writes our typographic ones in ASCII.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            // After a line break `\\`, LaTeX takes a bracket for an optional argument.
            '[' => escaped.push_str("{[}"),
            ']' => escaped.push_str("{]}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("''"),
            '…' => escaped.push_str("\\dots{}"),
            '–' => escaped.push_str("--"),
            '±' => escaped.push_str("$\\pm$"),
            '×' => escaped.push_str("$\\times$"),
            c if c.is_control() => escaped.push(' '),
            c if c.is_ascii() || is_known(c) => escaped.push(c),
            c => escaped.push_str(&other(c)),
        }
    }
    escaped
}

/// Letters that pdfLaTeX takes as they are, whatever the font's encoding.
fn is_known(character: char) -> bool {
    matches!(character, 'À'..='ÿ') && !matches!(character, '×' | '÷' | 'Ð' | 'ð' | 'Þ' | 'þ')
}

/// What pdfLaTeX refuses, in ASCII: signs as the command of theirs, and what has none here (a user's text) as its code point.
fn other(character: char) -> String {
    let math = match character {
        '−' => "-",
        '÷' => "\\div",
        '·' => "\\cdot",
        '≤' => "\\leq",
        '≥' => "\\geq",
        '≠' => "\\neq",
        '≈' => "\\approx",
        '→' => "\\to",
        '←' => "\\leftarrow",
        '∞' => "\\infty",
        '√' => "\\surd",
        '′' => "'",
        '₂' => "_2",
        '²' => "^2",
        'α' => "\\alpha",
        'β' => "\\beta",
        'δ' => "\\delta",
        'ε' => "\\varepsilon",
        'θ' => "\\theta",
        'λ' => "\\lambda",
        'μ' | 'µ' => "\\mu",
        'ν' => "\\nu",
        'σ' => "\\sigma",
        'τ' => "\\tau",
        'χ' => "\\chi",
        '½' => "\\frac12",
        '—' => return "---".to_owned(),
        '‘' => return "`".to_owned(),
        '’' => return "'".to_owned(),
        '“' => return "``".to_owned(),
        '”' => return "''".to_owned(),
        '§' => return "\\S{}".to_owned(),
        '\u{a0}' => return "~".to_owned(),
        other => return format!("(U+{:04X})", u32::from(other)),
    };
    format!("${math}$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_character_is_escaped() {
        assert_eq!(escape("50%_&#$"), "50\\%\\_\\&\\#\\$");
        assert_eq!(escape("a[seed=1]{x}"), "a{[}seed=1{]}\\{x\\}");
        assert_eq!(escape("\\~^"), "\\textbackslash{}\\textasciitilde{}\\textasciicircum{}");
        assert_eq!(escape("1 ± 2–3×"), "1 $\\pm$ 2--3$\\times$");
    }

    #[test]
    fn signs_that_pdflatex_refuses_are_commands() {
        assert_eq!(escape("a − b, λ ≤ 1 ≥ 0 → ∞"), "a $-$ b, $\\lambda$ $\\leq$ 1 $\\geq$ 0 $\\to$ $\\infty$");
        assert_eq!(escape("Müller 学 🙂"), "Müller (U+5B66) (U+1F642)");
    }

    #[test]
    fn no_sign_but_a_latin_letter_is_left_outside_of_ascii() {
        let left = (0..=0x2_ffff).filter_map(char::from_u32).filter(|c| !escape(&c.to_string()).is_ascii());
        assert!(left.clone().all(char::is_alphabetic) && left.max() == Some('ÿ'));
    }
}
