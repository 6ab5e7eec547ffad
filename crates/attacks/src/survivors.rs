//! Restarts that go on with the images that no earlier one broke.

use candle_core::{Device, Result};

use crate::{
    Attacked, Seen,
    logits::{check_labels, is_correct},
    pixels::{Pixel, Pixels},
};

/// What has been broken so far. Images that no restart breaks stay natural.
pub(crate) struct Survivors<T> {
    images: Pixels<T>,
    broken_by: Vec<Option<u32>>,
    seen: Vec<Seen>,
}

impl<T: Pixel> Survivors<T> {
    /// All images, of which those that are misclassified as they are count as broken by restart 0.
    ///
    /// # Errors
    /// When a label is no class.
    pub(crate) fn of(natural: &Pixels<T>, logits: &[Vec<f64>], labels: &[u32]) -> Result<Self> {
        check_labels(logits, labels)?;
        let mut survivors = Self {
            images: natural.clone(),
            broken_by: vec![None; labels.len()],
            seen: vec![Seen::NOTHING; labels.len()],
        };
        for (row, (logits, &label)) in logits.iter().zip(labels).enumerate() {
            survivors.seen[row].look_at(logits, label);
            if !is_correct(logits, label) {
                (survivors.broken_by[row], survivors.seen[row].iteration) = (Some(0), Some(0));
            }
        }
        Ok(survivors)
    }

    /// The images that are left.
    pub(crate) fn rows(&self) -> Vec<usize> {
        (0..self.broken_by.len()).filter(|&row| self.broken_by[row].is_none()).collect()
    }

    /// Takes what another restart saw of an image.
    pub(crate) fn look(&mut self, row: usize, seen: &Seen) {
        self.seen[row].look(seen.margin, seen.cross_entropy);
    }

    /// Enters that a restart broke an image by this one, which it found in this iteration.
    pub(crate) fn enter(&mut self, row: usize, restart: u32, iteration: Option<u32>, image: &[T]) {
        self.images.replace(row, image);
        self.broken_by[row] = Some(restart);
        self.seen[row].iteration = iteration;
    }

    pub(crate) fn finish(self, device: &Device) -> Result<Attacked> {
        Ok(Attacked { images: self.images.to_tensor(device)?, broken_by: self.broken_by, seen: self.seen })
    }
}

/// The numbers of some of the images.
pub(crate) fn gather<A: Copy>(of_images: &[A], rows: &[usize]) -> Vec<A> {
    rows.iter().map(|&row| of_images[row]).collect()
}
