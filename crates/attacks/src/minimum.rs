//! The nearest misclassified images, which some attacks look for.

use candle_core::{Result, Tensor};

use crate::{
    Seen,
    logits::is_correct,
    pixels::{Pixel, Pixels},
};

/// The nearest misclassified images that a search found.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// One image (N, C, H, W) for each; the natural one where none was found.
    pub images: Tensor,
    /// Distance of each in the attack's norm, whether or not it lies in the ball; none where none was found.
    pub distances: Vec<Option<f64>>,
}

/// Of each image the nearest misclassified one.
pub(crate) struct Minimum<T> {
    /// The natural image where there is none.
    pub(crate) images: Pixels<T>,
    distances: Vec<f64>,
    /// What was seen of the points in the ball.
    pub(crate) seen: Vec<Seen>,
}

impl<T: Pixel> Minimum<T> {
    /// None for any image.
    pub(crate) fn none(natural: &Pixels<T>) -> Self {
        let count = natural.len();
        Self { images: natural.clone(), distances: vec![f64::INFINITY; count], seen: vec![Seen::NOTHING; count] }
    }

    /// Enters a misclassified image where it is nearer than all before.
    pub(crate) fn enter(&mut self, row: usize, image: &[T], distance: f64) {
        if distance < self.distances[row] {
            self.images.replace(row, image);
            self.distances[row] = distance;
        }
    }

    /// Notes that the search looked at a point in the ball, in this iteration.
    pub(crate) fn look(&mut self, row: usize, iteration: u32, logits: &[f64], label: u32) {
        self.seen[row].look_at(logits, label);
        if !is_correct(logits, label) {
            self.seen[row].iteration.get_or_insert(iteration);
        }
    }

    pub(crate) fn into_nearest(self, device: &candle_core::Device) -> Result<Nearest> {
        let distances = (0..self.distances.len()).map(|row| self.distance(row)).collect();
        Ok(Nearest { images: self.images.to_tensor(device)?, distances })
    }

    /// The least distance of an image, if any was found.
    pub(crate) fn distance(&self, row: usize) -> Option<f64> {
        Some(self.distances[row]).filter(|distance| distance.is_finite())
    }
}
