//! The seeds of independent repetitions.

use std::str::FromStr;

use crate::RecipeError;

/// Repetitions beyond this are taken for a slip of the pen.
const MOST: usize = 1000;

/// One seed for each independent repetition of every training. Written `0..3` for 0, 1 and 2, `0..=2` for the same, or `0,1,2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

impl Seeds {
    /// The seeds, each once.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

impl FromStr for Seeds {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || RecipeError::MalformedSeeds { text: text.to_owned(), most: MOST };
        let seeds = read(text).ok_or_else(malformed)?;
        let distinct = (1..seeds.len()).all(|place| !seeds[..place].contains(&seeds[place]));
        if seeds.is_empty() || !distinct { Err(malformed()) } else { Ok(Self(seeds)) }
    }
}

fn read(text: &str) -> Option<Vec<u64>> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|seed| i64::try_from(*seed).is_ok());
    let Some((first, last)) = text.split_once("..") else {
        let seeds: Option<Vec<u64>> = text.split(',').map(number).collect();
        return seeds.filter(|seeds| seeds.len() <= MOST);
    };
    let first = number(first)?;
    let end = match last.strip_prefix('=') {
        Some(last) => number(last)? + 1,
        None => number(last)?,
    };
    (end.saturating_sub(first) <= MOST as u64).then(|| (first..end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_list() {
        for (text, seeds) in [("0..3", &[0, 1, 2][..]), ("4..=5", &[4, 5]), ("7", &[7]), ("3, 1,2", &[3, 1, 2])] {
            assert_eq!(text.parse::<Seeds>().unwrap().as_slice(), seeds, "{text}");
        }
    }

    #[test]
    fn no_seeds_too_many_and_the_same_twice_are_refused() {
        for text in ["", "0..0", "3..1", "0..1001", "0..18446744073709551615", "1,1", "a", "0...3", "-1", "0..=1000"] {
            let refused = text.parse::<Seeds>().unwrap_err().to_string();
            assert!(refused.contains("0..3"), "{text}: {refused}");
        }
    }
}
