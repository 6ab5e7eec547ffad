//! Texts come from files and go to terminals.

/// Names are cut after so many characters.
const LONGEST: usize = 200;

/// A name without control characters, and not too long to be read.
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(LONGEST).map(plain).collect()
}

/// A message that may repeat what a file says, without control characters.
pub(crate) fn plain_text(message: &str) -> String {
    message.chars().map(plain).collect()
}

fn plain(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}
