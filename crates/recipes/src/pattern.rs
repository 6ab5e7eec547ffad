//! Names of jobs, with `*` for any part of them.

use std::fmt;

use serde::Deserialize;

/// A job's name, in which every `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn is_wild(&self) -> bool {
        self.0.contains('*')
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut parts: Vec<&str> = self.0.split('*').collect();
        let first = parts.remove(0);
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// Whether any of the patterns is of the name.
pub(crate) fn any_matches(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_none() {
        for (pattern, name) in
            [("l2-*-rrm-*", "l2-vgg11-rrm-resnet50"), ("*", "x"), ("a*", "a"), ("a*c*e", "abcde"), ("a", "a")]
        {
            assert!(Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_stands_between_stars_must_be_there_once_each() {
        for (pattern, name) in
            [("l2-*", "linf-x"), ("a", "ab"), ("a*b", "a"), ("ab*bc", "abc"), ("*x*", "y"), ("", "a")]
        {
            assert!(!Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }
}
