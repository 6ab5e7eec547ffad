//! Restarts that go on with the images that no earlier one broke.

use candle_core::{Device, Result};

use crate::{
    Attacked, Seen,
    logits::{check_labels, cross_entropy, is_correct, margin},
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
        let mut survivors = Self::unseen(natural.clone());
        for (row, (logits, &label)) in logits.iter().zip(labels).enumerate() {
            let seen =
                Seen { margin: margin(logits, label), cross_entropy: cross_entropy(logits, label), ..Seen::NOTHING };
            survivors.judge(row, 0, &seen, is_correct(logits, label));
        }
        Ok(survivors)
    }

    /// All images, none of which was looked at yet.
    pub(crate) fn unseen(images: Pixels<T>) -> Self {
        let (broken_by, seen) = (vec![None; images.len()], vec![Seen::NOTHING; images.len()]);
        Self { images, broken_by, seen }
    }

    /// The images as they stand, whatever became of them.
    pub(crate) fn images(&self) -> &Pixels<T> {
        &self.images
    }

    /// Takes what was seen of an image as it stands: where it is misclassified `restart` has broken it before any iteration.
    pub(crate) fn judge(&mut self, row: usize, restart: u32, seen: &Seen, is_correct: bool) {
        self.look(row, seen);
        if !is_correct {
            (self.broken_by[row], self.seen[row].iteration) = (Some(restart), Some(0));
        }
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

    /// Leaves an image as a restart that failed to break it left it.
    pub(crate) fn leave(&mut self, row: usize, image: &[T]) {
        self.images.replace(row, image);
    }

    pub(crate) fn finish(self, device: &Device) -> Result<Attacked> {
        Ok(Attacked { images: self.images.to_tensor(device)?, broken_by: self.broken_by, seen: self.seen })
    }
}

/// The numbers of some of the images.
pub(crate) fn gather<A: Copy>(of_images: &[A], rows: &[usize]) -> Vec<A> {
    rows.iter().map(|&row| of_images[row]).collect()
}
