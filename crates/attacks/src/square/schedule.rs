//! How large squares are when.

use rrm_spec::SquareSchedule;

use super::{Extent, Square};

/// The queries after which the squares' area is halved, in a run of ten thousand.
const HALVINGS: [u32; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/// The queries for which the halvings are meant.
const REFERENCE_QUERIES: f64 = 10_000.0;

impl Square {
    /// The square's share of the image in query `query`, counted from 0.
    pub(super) fn share(&self, query: u32) -> f64 {
        let query = match self.schedule {
            SquareSchedule::Fixed => query,
            SquareSchedule::Rescaled => (f64::from(query) / f64::from(self.queries) * REFERENCE_QUERIES) as u32,
        };
        let halvings = HALVINGS.iter().filter(|&&after| query > after).count();
        self.initial_share / f64::from(1u32 << halvings)
    }

    /// The side of an l∞ square.
    pub(super) fn side(&self, query: u32, extent: Extent) -> usize {
        self.rounded_side(query, extent).clamp(1, extent.longest())
    }

    /// The side of an l2 square: odd, and 3 at least where the image is as large.
    pub(super) fn odd_side(&self, query: u32, extent: Extent) -> usize {
        let side = self.rounded_side(query, extent).max(3) | 1;
        let longest = extent.longest();
        if side > longest { longest - (1 - longest % 2) } else { side }
    }

    fn rounded_side(&self, query: u32, extent: Extent) -> usize {
        // Python rounds halves to even.
        (self.share(query) * extent.area() as f64).sqrt().round_ties_even() as usize
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::{Norm, SquareLoss};

    use super::*;
    use crate::Ball;

    fn square(queries: u32, schedule: SquareSchedule) -> Square {
        let ball = Ball { norm: Norm::Linf, epsilon: 0.1 };
        Square { ball, queries, restarts: 1, loss: SquareLoss::Margin, initial_share: 0.8, schedule }
    }

    #[test]
    fn squares_shrink_when_the_reference_shrinks_them() {
        let square = square(5000, SquareSchedule::Fixed);
        let shares = [0, 10, 11, 50, 51, 201, 501, 1001, 2001, 4001, 6001, 8001].map(|query| square.share(query));
        let halvings = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|halvings| 0.8 / f64::powi(2.0, halvings));
        assert_eq!(shares, halvings);
    }

    #[test]
    fn a_rescaled_schedule_ends_with_the_queries() {
        let square = square(100, SquareSchedule::Rescaled);
        assert_eq!([0, 1, 81].map(|query| square.share(query)), [0.8, 0.2, 0.8 / 512.0]);
    }

    #[test]
    fn sides_are_those_of_the_reference_and_never_longer_than_the_image() {
        let cifar = Extent { channels: 3, height: 32, width: 32 };
        let square = square(5000, SquareSchedule::Fixed);
        assert_eq!([0, 11, 8001].map(|query| square.side(query, cifar)), [29, 20, 1]);
        assert_eq!([0, 11, 8001].map(|query| square.odd_side(query, cifar)), [29, 21, 3]);
        let tiny = Extent { channels: 3, height: 2, width: 5 };
        assert_eq!((square.side(0, tiny), square.odd_side(0, tiny)), (2, 1));
        let whole = Square { initial_share: 1.0, ..square };
        assert_eq!((whole.side(0, cifar), whole.odd_side(0, cifar)), (32, 31));
    }
}
