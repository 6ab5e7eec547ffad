//! A linear axis.

/// Maps 0..=`most` to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) most: f64,
    pub(super) pixels: (i32, i32),
}

impl Scale {
    pub(super) fn pixel(self, value: f64) -> i32 {
        let (from, to) = self.pixels;
        from + ((to - from) as f64 * value / self.most).round() as i32
    }

    /// Round numbers along the axis, 0 included: steps of 1, 2 or 5 times a power of ten.
    pub(super) fn ticks(self) -> Vec<f64> {
        let step = round_step(self.most / 5.0);
        let count = (self.most / step + 1e-9).floor() as usize;
        (0..=count).map(|index| index as f64 * step).collect()
    }
}

/// The smallest round number that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let multiple = [1.0, 2.0, 5.0].into_iter().find(|multiple| multiple * power >= least * (1.0 - 1e-9));
    multiple.unwrap_or(10.0) * power
}

/// A tick's label without needless digits.
pub(super) fn tick_label(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let ticks = |most| Scale { most, pixels: (0, 100) }.ticks();
        assert_eq!(ticks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(7.3), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(0.9).len(), 5);
    }

    #[test]
    fn the_ends_of_the_axis_are_the_ends_of_its_pixels() {
        let scale = Scale { most: 80.0, pixels: (10, 50) };
        assert_eq!((scale.pixel(0.0), scale.pixel(40.0), scale.pixel(80.0)), (10, 30, 50));
    }

    #[test]
    fn labels_have_no_needless_digits() {
        assert_eq!([0.0, 0.5, 20.0, 2.25].map(tick_label), ["0", "0.5", "20", "2.25"]);
    }
}
