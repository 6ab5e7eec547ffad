//! Restarts that go on with the images that no earlier one broke.

use crate::pixels::{Pixel, Pixels};

/// What has been broken so far. Images that no restart breaks stay natural.
pub(crate) struct Survivors<T> {
    pub(crate) images: Pixels<T>,
    pub(crate) broken_by: Vec<Option<u32>>,
}

impl<T: Pixel> Survivors<T> {
    /// All images, of which those that are misclassified as they are count as broken by restart 0.
    pub(crate) fn of(natural: &Pixels<T>, correct: &[bool]) -> Self {
        let broken_by = correct.iter().map(|&correct| (!correct).then_some(0)).collect();
        Self { images: natural.clone(), broken_by }
    }

    /// The images that are left.
    pub(crate) fn rows(&self) -> Vec<usize> {
        (0..self.broken_by.len()).filter(|&row| self.broken_by[row].is_none()).collect()
    }

    /// Enters that a restart broke an image by this one.
    pub(crate) fn enter(&mut self, row: usize, restart: u32, image: &[T]) {
        self.images.replace(row, image);
        self.broken_by[row] = Some(restart);
    }
}

/// The numbers of some of the images.
pub(crate) fn gather<A: Copy>(of_images: &[A], rows: &[usize]) -> Vec<A> {
    rows.iter().map(|&row| of_images[row]).collect()
}
