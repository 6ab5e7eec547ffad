//! Moments and lengths of time.

use jiff::Timestamp;
use maud::{Markup, html};

/// A moment, UTC; the script shows it in the reader's zone. Microseconds since the Unix epoch.
pub(crate) fn moment(at_us: i64) -> Markup {
    match Timestamp::from_microsecond(at_us) {
        Ok(at) => html! {
            time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (at.strftime("%Y-%m-%d %H:%M:%S")) " UTC" }
        },
        Err(_) => html! { "?" },
    }
}

/// The same where there may be none.
pub(crate) fn optional_moment(at_us: Option<i64>) -> Markup {
    at_us.map_or_else(|| html! { "–" }, moment)
}

/// A length of time in its two largest units, such as `2 min 03 s`.
pub(crate) fn duration(us: u64) -> String {
    let seconds = us / 1_000_000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, _) if us < 10_000_000 => format!("{:.2} s", us as f64 / 1e6),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes:02} min"),
        (days, hours, _, _) => format!("{days} d {hours:02} h"),
    }
}

/// From one moment to a later one; nothing where they are the wrong way round.
pub(crate) fn between(from_us: i64, to_us: i64) -> String {
    duration(u64::try_from(to_us.saturating_sub(from_us)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units() {
        let lengths = [1_500_000, 59_000_000, 123_000_000, 7_260_000_000, 180_000_000_000].map(duration);
        assert_eq!(lengths, ["1.50 s", "59 s", "2 min 03 s", "2 h 01 min", "2 d 02 h"]);
        assert_eq!(between(5, 3), "0.00 s");
    }

    #[test]
    fn moments_are_in_utc() {
        assert!(moment(1_700_000_000_000_000).0.contains("2023-11-14 22:13:20 UTC"));
        assert_eq!(moment(i64::MAX).0, "?");
    }
}
