//! Times as people read and write them. Machines get microseconds since the Unix epoch, UTC.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Zoned, tz::TimeZone};
use rrm_spec::TimeLimit;

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

/// A day as clocks count it: 24 hours.
const DAY: Duration = Duration::from_secs(86_400);

/// Lengths of time that an option takes.
struct Bounds {
    shortest: Duration,
    longest: Duration,
    /// The same in words.
    told: &'static str,
}

/// Reads a length of time, such as a pause or a time limit of this command.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bounds = Bounds { shortest: Duration::from_millis(1), longest: 36_500 * DAY, told: "1ms to 36500d" };
    parse_length(text, &bounds)
}

/// Reads for how long something is valid.
pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let bounds = Bounds { shortest: Duration::from_secs(1), longest: 36_500 * DAY, told: "1s to 36500d" };
    parse_length(text, &bounds)
}

/// Reads a job's time limit, which is of whole seconds.
pub(crate) fn parse_time_limit(text: &str) -> Result<TimeLimit, String> {
    let bounds = Bounds { shortest: Duration::from_secs(1), longest: 365 * DAY, told: "1s to 365d" };
    let length = parse_length(text, &bounds)?;
    match length.subsec_nanos() {
        0 => TimeLimit::from_seconds(length.as_secs()).map_err(|error| error.to_string()),
        _ => Err(format!("`{text}` is no number of whole seconds: write {}", bounds.told)),
    }
}

/// Reads a length of time: a number of seconds, or such as `90s`, `5m`, `1h 30m` or `1d 12h`.
fn parse_length(text: &str, bounds: &Bounds) -> Result<Duration, String> {
    let Bounds { shortest, longest, told } = bounds;
    let length = length(text.trim()).ok_or_else(|| {
        format!("`{text}` is no length of time: write seconds, or such as 90s, 5m, 1h 30m or 1d 12h, from {told}")
    })?;
    match (shortest..=longest).contains(&&length) {
        true => Ok(length),
        false => Err(format!("`{text}` is too short or too long: write {told}")),
    }
}

fn length(text: &str) -> Option<Duration> {
    let signed = match text.parse::<f64>() {
        Ok(seconds) => SignedDuration::try_from_secs_f64(seconds).ok()?,
        Err(_) => text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?,
    };
    Duration::try_from(signed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reads_lengths_in_the_same_way() {
        type Reader = fn(&str) -> Result<Duration, String>;
        let readers: [Reader; 3] =
            [parse_duration, parse_lifetime, |text| parse_time_limit(text).map(TimeLimit::duration)];
        for read in readers {
            let seconds = |text: &str| read(text).map(|length| length.as_secs());
            assert_eq!(seconds("90"), Ok(90));
            assert_eq!(seconds("90s"), Ok(90));
            assert_eq!(seconds(" 5m "), Ok(300));
            assert_eq!(seconds("1h 30m"), Ok(5400));
            assert_eq!(seconds("90d"), Ok(90 * 86_400));
            assert_eq!(seconds("1d 12h"), Ok(36 * 3600));
            for text in ["", "0", "0d", "-3", "-1d", "soon", "NaN", "inf", "d", "1month"] {
                assert!(seconds(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_with_the_bounds() {
        assert_eq!(parse_lifetime("36500d").map(|length| length.as_secs()), Ok(36_500 * 86_400));
        for (refused, bounds) in [
            (parse_lifetime("100000d"), "1s to 36500d"),
            (parse_lifetime("876001h"), "1s to 36500d"),
            (parse_lifetime("0.5"), "1s to 36500d"),
            (parse_time_limit("366d").map(TimeLimit::duration), "1s to 365d"),
            (parse_time_limit("1.5").map(TimeLimit::duration), "1s to 365d"),
            (parse_duration("99999999999999999999"), "1ms to 36500d"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.ends_with(bounds), "{error}");
        }
        assert_eq!(parse_duration("0.2"), Ok(Duration::from_millis(200)));
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
