//! What is tried next.

use rrm_spec::Norm;

use super::{Extent, Square, bump::bump, extent::Window};
use crate::{Randomness, ball};

/// Keeps divisions finite; the value of the reference code.
const GUARD: f64 = 1e-12;

/// Proposals for one image. They are points that may lie outside ball and box.
pub(super) struct Proposer<'a> {
    pub(super) square: &'a Square,
    pub(super) extent: Extent,
}

impl Proposer<'_> {
    /// The start: vertical stripes for l∞, bumps on a grid of five by five for l2 and l1.
    pub(super) fn start(&self, natural: &[f64], random: &mut impl Randomness) -> Vec<f64> {
        match self.square.ball.norm {
            Norm::Linf => self.stripes(natural, random),
            Norm::L2 => self.at_epsilon(natural, self.grid(random)),
            // Bumps of size 1, whatever ε: the projection takes what is too much.
            Norm::L1 => changed(natural, &self.grid(random)),
        }
    }

    /// What is tried in query `query` beside the best point so far.
    pub(super) fn next(&self, natural: &[f64], best: &[f64], query: u32, random: &mut impl Randomness) -> Vec<f64> {
        let change = || best.iter().zip(natural).map(|(z, x)| z - x).collect();
        match self.square.ball.norm {
            Norm::Linf => self.with_square(best, query, random),
            Norm::L2 => self.at_epsilon(natural, self.with_mass_moved(change(), query, random)),
            Norm::L1 => changed(natural, &self.with_mass_moved(change(), query, random)),
        }
    }

    fn stripes(&self, natural: &[f64], random: &mut impl Randomness) -> Vec<f64> {
        let Extent { height, width, channels } = self.extent;
        let signs: Vec<f64> = (0..channels * width).map(|_| sign(random)).collect();
        let stripe = |place: usize| signs[place / (height * width) * width + place % width];
        natural.iter().enumerate().map(|(place, x)| x + self.square.ball.epsilon * stripe(place)).collect()
    }

    /// Adds ±2ε in a square, a sign for each channel.
    fn with_square(&self, best: &[f64], query: u32, random: &mut impl Randomness) -> Vec<f64> {
        let window = self.window(self.square.side(query, self.extent), random);
        let mut proposed = best.to_vec();
        for channel in 0..self.extent.channels {
            let change = 2.0 * self.square.ball.epsilon * sign(random);
            self.extent.places(window, channel).for_each(|(_, place)| proposed[place] += change);
        }
        proposed
    }

    fn grid(&self, random: &mut impl Randomness) -> Vec<f64> {
        let Extent { height, width, channels } = self.extent;
        // On images narrower than five pixels, where the reference has none, tiles are single pixels.
        let side = (height / 5).max(1);
        let margin = height.saturating_sub(5 * side) / 2;
        let mut change = vec![0.0; self.extent.count()];
        for tile in 0..height / side * (width / side) {
            let (row, column) = (tile / (width / side), tile % (width / side));
            let window = Window { top: margin + row * side, left: margin + column * side, side };
            let bump = bump(self.square.ball.norm, side, random);
            for channel in 0..channels {
                let sign = sign(random);
                let places = self.extent.places(window, channel);
                places.for_each(|(in_window, place)| change[place] += sign * bump[in_window]);
            }
        }
        change
    }

    /// Takes the change out of one window and gives its size, and what is missing to ε, to another.
    fn with_mass_moved(&self, mut change: Vec<f64>, query: u32, random: &mut impl Randomness) -> Vec<f64> {
        let side = self.square.odd_side(query, self.extent);
        let (to, from) = (self.window(side, random), self.window(side, random));
        let bump = bump(self.square.ball.norm, side, random);
        let moved: Vec<Vec<f64>> = (0..self.extent.channels)
            .map(|channel| {
                let budget = self.budget(&change, channel, to, from);
                self.rewritten(&change, to, channel, &bump, sign(random), budget)
            })
            .collect();
        for (channel, moved) in moved.iter().enumerate() {
            self.extent.places(from, channel).for_each(|(_, place)| change[place] = 0.0);
            self.extent.places(to, channel).for_each(|(in_window, place)| change[place] = moved[in_window]);
        }
        change
    }

    /// The size that a channel of the receiving window gets: what that channel has in both windows, and its share of what the change
    /// lacks of ε. For l1 it is as many times that as there are channels, as in the reference; the projection takes what is too much.
    fn budget(&self, change: &[f64], channel: usize, to: Window, from: Window) -> f64 {
        let inside = self.inside(change, channel, to, from);
        let (epsilon, size, channels) = (self.square.ball.epsilon, self.size(change), self.extent.channels as f64);
        match self.square.ball.norm {
            Norm::Linf | Norm::L2 => {
                let missing = (epsilon.powi(2) - size.powi(2)).max(0.0);
                let windows: f64 = inside.iter().map(|number| number * number).sum();
                (missing / channels + windows).sqrt()
            }
            Norm::L1 => (epsilon - size).max(0.0) + channels * self.size(&inside),
        }
    }

    /// What a channel of the change has in either window.
    fn inside(&self, change: &[f64], channel: usize, to: Window, from: Window) -> Vec<f64> {
        let mut in_windows = vec![false; change.len()];
        let places = self.extent.places(to, channel).chain(self.extent.places(from, channel));
        places.for_each(|(_, place)| in_windows[place] = true);
        change.iter().zip(&in_windows).filter(|&(_, &inside)| inside).map(|(&number, _)| number).collect()
    }

    /// One channel of the receiving window: a bump and the direction of what was there, brought to size `budget`.
    fn rewritten(
        &self,
        change: &[f64],
        window: Window,
        channel: usize,
        bump: &[f64],
        sign: f64,
        budget: f64,
    ) -> Vec<f64> {
        let mut old = vec![0.0; bump.len()];
        self.extent.places(window, channel).for_each(|(in_window, place)| old[in_window] = change[place]);
        let old_size = self.size(&old);
        let mut new: Vec<f64> = bump.iter().zip(&old).map(|(b, o)| b * sign + o / (GUARD + old_size)).collect();
        let scale = budget / (GUARD + self.size(&new));
        new.iter_mut().for_each(|number| *number *= scale);
        new
    }

    /// The natural image with the change brought to size ε.
    fn at_epsilon(&self, natural: &[f64], change: Vec<f64>) -> Vec<f64> {
        let scale = self.square.ball.epsilon / (self.size(&change) + GUARD);
        change.iter().zip(natural).map(|(change, x)| x + change * scale).collect()
    }

    /// How large numbers are in the ball's norm.
    fn size(&self, numbers: &[f64]) -> f64 {
        ball::extent(self.square.ball.norm, numbers)
    }

    /// A square at a random place. As in the reference its last row and column are never those of the image, unless it
    /// fills it.
    fn window(&self, side: usize, random: &mut impl Randomness) -> Window {
        let mut first = |extent: usize| ((extent - side) as f64 * random.uniform()) as usize;
        Window { top: first(self.extent.height), left: first(self.extent.width), side }
    }
}

fn changed(natural: &[f64], change: &[f64]) -> Vec<f64> {
    natural.iter().zip(change).map(|(x, change)| x + change).collect()
}

fn sign(random: &mut impl Randomness) -> f64 {
    let number = 2.0 * random.uniform() - 1.0;
    f64::from(i8::from(number > 0.0) - i8::from(number < 0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rrm_data::{ImageRng, Stream};
    use rrm_spec::{SquareLoss, SquareSchedule};

    use super::*;
    use crate::Ball;

    proptest! {
        #[test]
        fn moving_mass_fills_what_the_change_lacks_of_the_radius_and_in_l1_leaves_some_to_cut(
            seed: u64,
            norm in prop_oneof![Just(Norm::L2), Just(Norm::L1)],
            numbers in prop::collection::vec(-1.0..1.0f64, 3 * 9 * 9),
            share in 0.1..1.0f64,
            query in 1..100u32,
        ) {
            let ball = Ball { norm, epsilon: ball::extent(norm, &numbers) / share };
            let (loss, schedule) = (SquareLoss::Margin, SquareSchedule::Fixed);
            let square = Square { ball, queries: 100, restarts: 1, loss, initial_share: 0.3, schedule };
            let extent = Extent { channels: 3, height: 9, width: 9 };
            let mut random = ImageRng::new(seed, Stream::AttackEvaluation, &[]);
            let moved = Proposer { square: &square, extent }.with_mass_moved(numbers, query, &mut random);
            let filled = ball::extent(norm, &moved) / square.ball.epsilon;
            prop_assert!(if norm == Norm::L1 { filled > 1.0 - 1e-9 } else { (filled - 1.0).abs() < 1e-9 }, "{filled}");
        }
    }
}
