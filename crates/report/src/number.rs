//! Numbers as people read them.

use rrm_spec::Accuracy;

/// What stands where there is no number.
pub(crate) const NONE: &str = "–";

/// Percent, with as many digits as the number of images supports.
pub(crate) fn percent(accuracy: Accuracy) -> String {
    accuracy.fraction().map_or(NONE.to_owned(), |fraction| percent_of(fraction, accuracy.total))
}

/// Wilson's 95 % interval in percent, such as `47.12–49.08`.
pub(crate) fn interval(accuracy: Accuracy) -> String {
    match accuracy.wilson95() {
        Some((low, high)) => {
            format!("{}–{}", percent_of(low, accuracy.total), percent_of(high, accuracy.total))
        }
        None => NONE.to_owned(),
    }
}

pub(crate) fn percent_of(fraction: f64, total: u64) -> String {
    let digits = if total >= 5000 { 2 } else { 1 };
    format!("{:.digits$}", 100.0 * fraction)
}

/// A unit of time that a whole column shares, so that its numbers can be compared at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Minutes,
    Hours,
}

impl TimeUnit {
    /// The unit in which the longest of `times_us` has a handy number.
    pub(crate) fn for_longest(times_us: impl Iterator<Item = f64>) -> Self {
        let longest_s = times_us.fold(0.0, f64::max) / 1e6;
        match longest_s {
            s if s < 120.0 => Self::Seconds,
            s if s < 7200.0 => Self::Minutes,
            _ => Self::Hours,
        }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }

    /// So many of this unit.
    pub(crate) fn count(self, time_us: f64) -> f64 {
        let unit_s = match self {
            Self::Seconds => 1.0,
            Self::Minutes => 60.0,
            Self::Hours => 3600.0,
        };
        time_us / 1e6 / unit_s
    }

    pub(crate) fn format(self, time_us: f64) -> String {
        format!("{:.2}", self.count(time_us))
    }
}

/// Digits after the point with which seconds are written, by the shortest time of a column.
pub(crate) fn second_digits(shortest_us: f64) -> usize {
    match shortest_us / 1e6 {
        s if s < 1.0 => 4,
        s if s < 10.0 => 3,
        _ => 2,
    }
}

/// A ratio such as `6.1×`.
pub(crate) fn ratio(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}×"),
        v if v < 100.0 => format!("{v:.1}×"),
        v => format!("{v:.0}×"),
    }
}

/// A probability, after `p`: `= 0.0029`, or `< 0.0001`.
pub(crate) fn probability(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("= {p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_the_digits_that_their_counts_support() {
        assert_eq!(percent(Accuracy { correct: 8530, total: 10_000 }), "85.30");
        assert_eq!(percent(Accuracy { correct: 853, total: 1000 }), "85.3");
        assert_eq!(percent(Accuracy { correct: 0, total: 0 }), NONE);
        // Newcombe 1998: 8 of 10 gives 0.4902 to 0.9433.
        assert_eq!(interval(Accuracy { correct: 8, total: 10 }), "49.0–94.3");
    }

    #[test]
    fn a_probability_too_small_to_print_is_bounded() {
        assert_eq!([0.002_855, 1.0, 3e-6].map(probability), ["= 0.0029", "= 1.0000", "< 0.0001"]);
    }

    #[test]
    fn a_column_of_times_shares_the_unit_of_its_longest() {
        let unit = TimeUnit::for_longest([30e6, 400e6].into_iter());
        assert_eq!((unit, unit.format(30e6).as_str()), (TimeUnit::Minutes, "0.50"));
        assert_eq!(TimeUnit::for_longest([119e6].into_iter()), TimeUnit::Seconds);
        assert_eq!(TimeUnit::for_longest([3e10].into_iter()), TimeUnit::Hours);
    }
}
