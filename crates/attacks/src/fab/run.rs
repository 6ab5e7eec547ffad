//! One run over one batch.

use candle_core::Result;
use rrm_spec::Norm;

use super::{Fab, Goal, plane::Planes, project_to_hyperplane};
use crate::{
    Ball, Randomness,
    ball::{distance, extent},
    logits::{Classifier, is_correct},
    minimum::Minimum,
    pixels::{Pixel, Pixels},
};

/// The largest weight of the natural image's projection against the current point's (Croce & Hein 2020, α_max).
const MOST_NATURAL: f64 = 0.1;

/// How far beyond the plane a step goes (η).
const OVERSHOOT: f64 = 1.05;

/// How much of a misclassified point's change is kept (β).
const KEPT: f64 = 0.9;

/// The least distance to a plane that weights are worked out from.
const LEAST_DISTANCE: f64 = 1e-8;

/// A run over one batch.
pub(super) struct Run<'a, T> {
    pub(super) fab: &'a Fab,
    pub(super) classifier: Classifier<'a>,
    pub(super) natural: &'a Pixels<T>,
    pub(super) labels: &'a [u32],
    pub(super) goal: Goal<'a>,
}

impl<T: Pixel> Run<'_, T> {
    /// Runs all iterations.
    pub(super) fn from(&self, mut iterate: Pixels<T>) -> Result<Minimum<T>> {
        let (norm, natural, labels) = (self.fab.ball.norm, self.natural, self.labels);
        let mut minimum = Minimum::none(natural);
        if labels.is_empty() {
            return Ok(minimum);
        }
        for iteration in 1..=self.fab.iterations {
            let planes = Planes::at(self, &iterate)?;
            iterate.par_images_mut(|row, image| step(norm, row, image, natural.image(row), &planes));
            let logits = self.classifier.logits(&iterate)?;
            let is_broken = |row: usize| !is_correct(&logits[row], labels[row]);
            for row in 0..labels.len() {
                let distance = distance(norm, iterate.image(row), natural.image(row));
                if distance <= self.fab.ball.epsilon {
                    minimum.look(row, iteration, &logits[row], labels[row]);
                }
                if is_broken(row) {
                    minimum.enter(row, iterate.image(row), distance);
                }
            }
            iterate.par_images_mut(|row, image| {
                if is_broken(row) {
                    go_back(image, natural.image(row));
                }
            });
        }
        Ok(minimum)
    }
}

/// Moves an image beyond the plane: mostly from where it is, and a little from the natural image.
fn step<T: Pixel>(norm: Norm, row: usize, image: &mut [T], natural: &[T], planes: &Planes<T>) {
    let weights = planes.weights(row);
    let (here, natural) = (numbers(image), numbers(natural));
    let Some(plane) = planes.plane(row, &here, &weights) else { return };
    let from_here = project_to_hyperplane(norm, &here, plane);
    let from_natural = project_to_hyperplane(norm, &natural, plane);
    let ways = [&from_here, &from_natural].map(|change| extent(norm, change).max(LEAST_DISTANCE));
    let share = (ways[0] / (ways[0] + ways[1])).clamp(0.0, MOST_NATURAL);
    for (pixel, z) in image.iter_mut().enumerate() {
        let beyond = |from: f64, change: f64| from + OVERSHOOT * change;
        let moved =
            beyond(here[pixel], from_here[pixel]) * (1.0 - share) + beyond(natural[pixel], from_natural[pixel]) * share;
        *z = T::from_f64(moved.clamp(0.0, 1.0));
    }
}

/// Keeps a share of the change only.
fn go_back<T: Pixel>(image: &mut [T], natural: &[T]) {
    for (z, x) in image.iter_mut().zip(natural) {
        let x = x.to_f64();
        *z = T::from_f64(x + (z.to_f64() - x) * KEPT);
    }
}

fn numbers<T: Pixel>(image: &[T]) -> Vec<f64> {
    image.iter().map(|number| number.to_f64()).collect()
}

/// A random change of half of epsilon: l∞ draws uniform numbers, l2 and l1 normal ones.
pub(super) fn half_way(ball: Ball, count: usize, random: &mut impl Randomness) -> Vec<f64> {
    let mut change: Vec<f64> = match ball.norm {
        Norm::Linf => (0..count).map(|_| 2.0 * random.uniform() - 1.0).collect(),
        Norm::L2 | Norm::L1 => (0..count).map(|_| random.normal()).collect(),
    };
    let scale = 0.5 * ball.epsilon / (extent(ball.norm, &change) + f64::MIN_POSITIVE);
    change.iter_mut().for_each(|change| *change *= scale);
    change
}
