//! From values to places on a drawing.

/// A linear scale with round ticks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    /// Values that are marked, all inside.
    pub(crate) ticks: Vec<f64>,
    /// Decimals that tell the ticks apart.
    pub(crate) decimals: usize,
}

impl Scale {
    /// Holds all finite values and about `marks` ticks; of no values it is that of 0 to 1.
    pub(crate) fn holding(values: impl Iterator<Item = f64>, marks: usize) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
        match (low.is_finite() && high.is_finite(), high - low) {
            (false, _) => Self::between(0.0, 1.0, marks),
            // One value alone: some room around it.
            (true, width) if width <= f64::EPSILON * high.abs().max(1.0) => {
                let room = (high.abs() * 0.1).max(0.5);
                Self::between(low - room, high + room, marks)
            }
            (true, _) => Self::between(low, high, marks),
        }
    }

    /// Widened to whole steps.
    fn between(low: f64, high: f64, marks: usize) -> Self {
        let step = round_step((high - low) / marks as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        // Bounded by the number of marks, whatever the values.
        let count = ((last - first) as usize).min(4 * marks);
        let ticks = (0..=count).map(|index| (first + index as f64) * step).collect();
        let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
        Self { low: first * step, high: last * step, ticks, decimals }
    }

    /// 0 at the lower end, 1 at the upper one.
    pub(crate) fn at(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// 1, 2 or 5 times a power of ten, at least as large as asked for.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_every_value() {
        let scale = Scale::holding([0.131, 2.37, f64::NAN].into_iter(), 5);
        assert_eq!(scale.ticks, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!((scale.at(0.0), scale.at(2.5), scale.decimals), (0.0, 1.0, 1));
    }

    #[test]
    fn one_value_and_none_have_a_scale_too() {
        let one = Scale::holding([3.0].into_iter(), 4);
        assert!(one.at(3.0) > 0.2 && one.at(3.0) < 0.8, "{one:?}");
        assert_eq!(Scale::holding(std::iter::empty(), 4).at(1.0), 1.0);
        assert!(Scale::holding([f64::MAX, f64::MIN].into_iter(), 4).ticks.len() < 20);
    }
}
