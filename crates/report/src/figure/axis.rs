//! An axis between two values, linear or logarithmic.

/// Maps values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    spacing: Spacing,
    pixels: (i32, i32),
}

/// What equal distances on an axis stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Equal differences.
    Linear,
    /// Equal ratios; values are positive.
    Logarithmic,
}

impl Axis {
    /// From 0 to a round number that leaves room above `most`.
    pub(super) fn from_zero(most: f64, pixels: (i32, i32)) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round_step(most / 5.0);
        Self { from: 0.0, to: (1.02 * most / step).ceil() * step, spacing: Spacing::Linear, pixels }
    }

    /// Percentages: whole tens around the values, within 0 and 100.
    pub(super) fn percent(least: f64, most: f64, pixels: (i32, i32)) -> Self {
        let from = (10.0 * ((least - 1.0) / 10.0).floor()).max(0.0);
        let to = (10.0 * ((most + 1.0) / 10.0).ceil()).min(100.0);
        Self { from: from.min(to - 10.0), to, spacing: Spacing::Linear, pixels }
    }

    /// Around positive values, with a quarter of a decade beyond the ends.
    pub(super) fn logarithmic(least: f64, most: f64, pixels: (i32, i32)) -> Self {
        let room = 10f64.powf(0.25);
        Self { from: least / room, to: most * room, spacing: Spacing::Logarithmic, pixels }
    }

    /// The pixel of a value; one beyond the axis lies at its end.
    pub(super) fn pixel(self, value: f64) -> i32 {
        let place = |value: f64| match self.spacing {
            Spacing::Linear => value,
            Spacing::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        };
        let share = (place(value) - place(self.from)) / (place(self.to) - place(self.from));
        let (first, last) = self.pixels;
        first + (f64::from(last - first) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// Round values along the axis with their labels.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        match self.spacing {
            Spacing::Linear => {
                let step = round_step((self.to - self.from) / 6.0);
                let first = (self.from / step - 1e-9).ceil() as i64;
                let last = (self.to / step + 1e-9).floor() as i64;
                (first..=last).map(|index| index as f64 * step).map(|tick| (tick, plain(tick))).collect()
            }
            Spacing::Logarithmic => {
                let first = (self.from.log10() - 1e-9).ceil() as i32;
                let last = (self.to.log10() + 1e-9).floor() as i32;
                (first..=last).map(|power| (10f64.powi(power), power_of_ten(power))).collect()
            }
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let multiple = [1.0, 2.0, 5.0].into_iter().find(|multiple| multiple * power >= least * (1.0 - 1e-9));
    multiple.unwrap_or(10.0) * power
}

/// A number without needless digits.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// 0.01, 0.1, 1 as they are; smaller ones as 1e-3.
fn power_of_ten(power: i32) -> String {
    match power {
        -2..=3 => plain(10f64.powi(power)),
        power => format!("1e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn percentages_span_whole_tens_around_their_values() {
        let axis = Axis::percent(41.53, 80.32, (400, 0));
        assert_eq!((axis.from, axis.to), (40.0, 90.0));
        assert_eq!(labels(axis), ["40", "50", "60", "70", "80", "90"]);
        assert_eq!((axis.pixel(40.0), axis.pixel(90.0)), (400, 0));
        let full = Axis::percent(0.0, 100.0, (0, 1));
        assert_eq!((full.from, full.to), (0.0, 100.0));
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_per_decade_at_equal_distances() {
        let axis = Axis::logarithmic(1e-5, 1.0, (0, 550));
        assert_eq!(labels(axis), ["1e-5", "1e-4", "1e-3", "0.01", "0.1", "1"]);
        assert_eq!([1e-5, 1e-4, 1e-3, 1.0].map(|value| axis.pixel(value)), [25, 125, 225, 525]);
    }

    #[test]
    fn an_axis_from_zero_ends_at_a_round_number_above_the_largest() {
        let axis = Axis::from_zero(96.0, (0, 100));
        assert_eq!(labels(axis), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(axis.pixel(-1.0), 0);
        assert_eq!(axis.pixel(1e9), 100);
    }

    proptest! {
        /// Whatever is drawn, it lies on the sheet, and ticks are few and in order.
        #[test]
        fn values_stay_on_the_axis(least in 1e-6..1e6_f64, factor in 1.0..1e6_f64, share in 0.0..1.0_f64) {
            let most = least * factor;
            for axis in [Axis::from_zero(most, (10, 500)), Axis::logarithmic(least, most, (10, 500))] {
                let pixel = axis.pixel(least + share * (most - least));
                prop_assert!((10..=500).contains(&pixel));
                let ticks = axis.ticks();
                prop_assert!(ticks.len() <= 14, "{ticks:?}");
                prop_assert!(ticks.is_sorted_by(|one, other| one.0 < other.0));
            }
        }
    }
}
