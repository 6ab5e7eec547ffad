//! What goes where: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::exit::Failure;

/// What standard output carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Human,
    /// Ids alone, one per line.
    Ids,
    /// One JSON document, or one per line where it is a stream; each has `"schema": 1`.
    Json,
}

/// The process's outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    color: Color,
}

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    /// A terminal whose user has not objected.
    Yes,
    /// A file, a pipe, or `NO_COLOR` is set.
    No,
}

/// What a piece of text is about, and so its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// Headings.
    Strong,
    /// Asides.
    Faint,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Work going on.
    Busy,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let color = if may_colour(&io::stdout()) { Color::Yes } else { Color::No };
        Self { format, color }
    }

    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether progress can be drawn: people look at a terminal and did not ask for silence.
    pub(crate) fn is_live(self) -> bool {
        self.format == Format::Human && io::stderr().is_terminal()
    }

    /// Text as data, as it is.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// A line of data.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// Bytes as data, as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::stdout(&error))
    }

    /// The command's only JSON document; an object, to which the schema is added.
    pub(crate) fn document(self, object: Value) -> Result<(), Failure> {
        let object = with_schema(object);
        let text = if io::stdout().is_terminal() { format!("{object:#}") } else { object.to_string() };
        self.line(&text)
    }

    /// One JSON document of a stream; an object, to which the schema is added.
    pub(crate) fn json_line(self, object: Value) -> Result<(), Failure> {
        self.line(&with_schema(object).to_string())
    }

    /// A remark to people, on standard error; nothing where ids or JSON were asked for.
    pub(crate) fn note(self, text: &str) {
        if self.format == Format::Human {
            self.complain(text);
        }
    }

    /// The failure with which the command ends, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        match self.format {
            Format::Human | Format::Ids => self.complain(&failure.to_string()),
            Format::Json => self.complain(&failure.to_json().to_string()),
        }
    }

    fn complain(self, text: &str) {
        // Nobody is left to tell if standard error is closed.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// The text in the colour of its tone, where colours are shown.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match (self.color, tone) {
            (Color::No, _) | (_, Tone::Plain) => return text.to_owned(),
            (Color::Yes, Tone::Strong) => 1,
            (Color::Yes, Tone::Faint) => 2,
            (Color::Yes, Tone::Good) => 32,
            (Color::Yes, Tone::Bad) => 31,
            (Color::Yes, Tone::Busy) => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Whether colours are shown there and wanted.
pub(crate) fn may_colour(stream: &impl IsTerminal) -> bool {
    // https://no-color.org: set to anything but nothing.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !refused
}

/// The text without control characters: what came from elsewhere must not move the cursor or break a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn with_schema(mut object: Value) -> Value {
    let fields = object.as_object_mut().expect("every document is an object");
    fields.insert("schema".to_owned(), 1.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_the_schema() {
        assert_eq!(with_schema(serde_json::json!({"jobs": []}))["schema"], 1);
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn text_is_plain_where_colours_are_not_shown() {
        let plain = Output { format: Format::Human, color: Color::No };
        assert_eq!(plain.paint("failed", Tone::Bad), "failed");
        let colored = Output { format: Format::Human, color: Color::Yes };
        assert_eq!(colored.paint("failed", Tone::Bad), "\x1b[31mfailed\x1b[0m");
    }
}
