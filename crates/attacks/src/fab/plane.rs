//! The boundary between two classes, taken for a plane.

use candle_core::Result;
use rrm_spec::Norm;

use super::{Goal, Hyperplane, run::Run};
use crate::{
    l1::size,
    logits::Tracked,
    pixels::{Pixel, Pixels},
    region::length,
};

/// Keeps distances finite where a gradient vanishes; the value of the reference code.
const GUARD: f64 = 1e-12;

/// A plane w·t = b for each image.
pub(super) struct Planes<T> {
    weights: Pixels<T>,
    differences: Vec<f64>,
}

impl<T: Pixel> Planes<T> {
    /// The planes at the points `iterate`: towards the goal's classes, or of all classes the nearest.
    pub(super) fn at(run: &Run<'_, T>, iterate: &Pixels<T>) -> Result<Self> {
        let tracked = run.classifier.track(iterate)?;
        match run.goal {
            Goal::Classes(classes) => Self::towards(run, &tracked, iterate, |row| classes[row] as usize),
            Goal::AnyClass => Self::nearest(run, &tracked, iterate),
        }
    }

    fn towards(
        run: &Run<'_, T>,
        tracked: &Tracked,
        iterate: &Pixels<T>,
        class: impl Fn(usize) -> usize,
    ) -> Result<Self> {
        let pairs: Vec<(usize, usize)> =
            run.labels.iter().enumerate().map(|(row, &label)| (class(row), label as usize)).collect();
        let weights = tracked.difference_gradients(iterate, &pairs)?;
        let difference = |(logits, &(plus, minus)): (&Vec<f64>, &(usize, usize))| logits[plus] - logits[minus];
        Ok(Self { weights, differences: tracked.rows.iter().zip(&pairs).map(difference).collect() })
    }

    fn nearest(run: &Run<'_, T>, tracked: &Tracked, iterate: &Pixels<T>) -> Result<Self> {
        let classes = tracked.rows.first().map_or(0, Vec::len);
        let mut nearest: Option<(Self, Vec<f64>)> = None;
        for class in 0..classes {
            // A label's own class has no plane: its distance is that of none.
            let planes = Self::towards(run, tracked, iterate, |_| class)?;
            let distances = planes.distances(run, class);
            match &mut nearest {
                None => nearest = Some((planes, distances)),
                Some((best, least)) => best.take_nearer(least, &planes, &distances),
            }
        }
        let (planes, _) = nearest.ok_or_else(|| candle_core::Error::Msg("a network without classes".to_owned()))?;
        Ok(planes)
    }

    fn distances(&self, run: &Run<'_, T>, class: usize) -> Vec<f64> {
        let of = |row: usize| match run.labels[row] as usize == class {
            true => f64::INFINITY,
            false => self.differences[row].abs() / (GUARD + dual_norm(run.fab.ball.norm, &self.weights(row))),
        };
        (0..self.differences.len()).map(of).collect()
    }

    fn take_nearer(&mut self, least: &mut [f64], other: &Self, distances: &[f64]) {
        for (row, (least, &distance)) in least.iter_mut().zip(distances).enumerate() {
            if distance < *least {
                *least = distance;
                self.differences[row] = other.differences[row];
                self.weights.replace(row, other.weights.image(row));
            }
        }
    }

    pub(super) fn weights(&self, row: usize) -> Vec<f64> {
        self.weights.image(row).iter().map(|w| w.to_f64()).collect()
    }

    /// The plane of an image, given its point and weights; none where something is not finite.
    pub(super) fn plane<'a>(&self, row: usize, point: &[f64], weights: &'a [f64]) -> Option<Hyperplane<'a>> {
        let offset = point.iter().zip(weights).map(|(t, w)| t * w).sum::<f64>() - self.differences[row];
        let is_finite = offset.is_finite() && weights.iter().all(|w| w.is_finite());
        is_finite.then_some(Hyperplane { weights, offset })
    }
}

/// The norm of a linear function on changes that are measured by `norm`.
fn dual_norm(norm: Norm, weights: &[f64]) -> f64 {
    match norm {
        Norm::Linf => size(weights),
        Norm::L2 => length(weights),
        Norm::L1 => weights.iter().fold(0.0, |largest: f64, w| largest.max(w.abs())),
    }
}
