//! Times as people read and write them. Machines get microseconds since the Unix epoch, UTC.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

/// A moment by the daemon's clock, in the zone of this machine, such as `2026-02-03 14:05:06`.
pub(crate) fn local(at_us: i64) -> String {
    in_zone(at_us, TimeZone::system())
}

/// The time of day alone.
pub(crate) fn local_clock(at_us: i64) -> String {
    zoned(at_us, TimeZone::system()).map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

fn in_zone(at_us: i64, zone: TimeZone) -> String {
    zoned(at_us, zone).map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn zoned(at_us: i64, zone: TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_microsecond(at_us).ok()?.to_zoned(zone))
}

/// Now, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A length of time in its two largest units, such as `2 min 03 s`.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, _) if length < Duration::from_secs(10) => format!("{:.1} s", length.as_secs_f64()),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes:02} min"),
        (days, hours, _, _) => format!("{days} d {hours:02} h"),
    }
}

/// The length from one moment to another; nothing where they are the wrong way round.
pub(crate) fn between(from_us: i64, to_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(to_us.saturating_sub(from_us)).unwrap_or(0))
}

/// Reads a length of time: a number of seconds, or such as `90s`, `5m` or `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is no length of time: write seconds, or such as 90s, 5m or 1h 30m");
    let signed = match text.trim().parse::<f64>() {
        Ok(seconds) => SignedDuration::try_from_secs_f64(seconds).map_err(|_| expected())?,
        Err(_) => text.parse::<SignedDuration>().map_err(|_| expected())?,
    };
    let length = Duration::try_from(signed).map_err(|_| expected())?;
    if length.is_zero() { Err(expected()) } else { Ok(length) }
}

/// Reads for how long something is valid: days as `90d`, or a length of time as everywhere else.
pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is no length of time: write days (90d), or such as 12h or 1h 30m");
    match text.trim().strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days @ 1..=36_500)) => Ok(Duration::from_secs(days * 86_400)),
        Some(Ok(_)) => Err(format!("`{text}` is too short or too long: write 1d to 36500d")),
        Some(Err(_)) | None => parse_duration(text).map_err(|_| expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_days_or_hours() {
        let seconds = |text: &str| parse_lifetime(text).map(|length| length.as_secs());
        assert_eq!(seconds("90d"), Ok(90 * 86_400));
        assert_eq!(seconds("12h"), Ok(12 * 3600));
        for text in ["", "0d", "-1d", "99999d", "soon", "d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_read_as_people_write_them() {
        let seconds = |text: &str| parse_duration(text).map(|length| length.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        for text in ["", "0", "-3", "soon", "NaN", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_written_in_their_two_largest_units() {
        let text = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(text(1.25), "1.2 s");
        assert_eq!(text(42.9), "42 s");
        assert_eq!(text(123.0), "2 min 03 s");
        assert_eq!(text(3660.0), "1 h 01 min");
        assert_eq!(text(90_000.0), "1 d 01 h");
    }

    #[test]
    fn a_moment_is_shown_in_the_readers_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(in_zone(1_700_000_000_000_000, zone), "2023-11-15 00:13:20");
    }
}
