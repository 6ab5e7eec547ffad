//! How long an attempt may take.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Seconds of each unit, the longest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Longer ones are as good as none.
const LONGEST_S: u64 = 365 * 86_400;

/// How long one attempt at a job may take: whole seconds, from one to 365 days.
///
/// Written as `2h`, `45m`, `90s`, `1d 12h` or `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeLimit(u32);

impl TimeLimit {
    /// A limit of so many seconds.
    ///
    /// # Errors
    /// [`TimeLimitError`] outside of 1 second to 365 days.
    pub fn from_seconds(seconds: u64) -> Result<Self, TimeLimitError> {
        let error = || TimeLimitError { text: format!("{seconds}s") };
        match (1..=LONGEST_S).contains(&seconds) {
            true => u32::try_from(seconds).map(Self).map_err(|_| error()),
            false => Err(error()),
        }
    }

    /// In seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// As a length of time.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

/// A text that is no time limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time limit: write such as 90s, 45m, 2h or 1d 12h, from 1s to 365d")]
pub struct TimeLimitError {
    text: String,
}

impl FromStr for TimeLimit {
    type Err = TimeLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TimeLimitError { text: text.to_owned() };
        let mut rest = text.trim();
        let mut seconds = 0_u64;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let number: u64 = rest[..end].parse().map_err(|_| error())?;
            let unit = rest[end..].chars().next().ok_or_else(error)?;
            let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
            seconds = number.checked_mul(length).and_then(|part| seconds.checked_add(part)).ok_or_else(error)?;
            // Every unit is one byte long.
            rest = rest[end + 1..].trim_start();
        }
        Self::from_seconds(seconds).map_err(|_| error())
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::from(self.0);
        let mut words = Vec::new();
        for (unit, length) in UNITS {
            if left >= length {
                words.push(format!("{}{unit}", left / length));
                left %= length;
            }
        }
        f.pad(&words.join(" "))
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = TimeLimitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TimeLimit> for String {
    fn from(limit: TimeLimit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_with_units_and_read_back() {
        for (text, seconds, canonical) in [
            ("90s", 90, "1m 30s"),
            ("2h", 7_200, "2h"),
            ("1d 12h", 129_600, "1d 12h"),
            ("1h30m", 5_400, "1h 30m"),
            ("365d", 31_536_000, "365d"),
        ] {
            let limit: TimeLimit = text.parse().unwrap();
            assert_eq!((limit.seconds(), limit.to_string().as_str()), (seconds, canonical));
            assert_eq!(canonical.parse(), Ok(limit));
        }
    }

    #[test]
    fn what_is_no_length_of_time_or_too_long_is_refused_with_examples() {
        for text in ["", "0s", "90", "h", "2 hours", "-1h", "1.5h", "366d", "99999999999999999999d", "2ü"] {
            let error = text.parse::<TimeLimit>().unwrap_err().to_string();
            assert!(error.contains("2h"), "{text}: {error}");
        }
    }
}
