//! Natural training: cross-entropy on augmented images (digest §2.3).

use candle_core::Tensor;
use rrm_losses::cross_entropy;
use rrm_models::Model;
use rrm_spec::Mode;

use super::{Step, StepStats, TrainBatch, accuracy};
use crate::student::{Student, UpdateError};

/// Cross-entropy on the images as they come.
pub struct Natural;

impl Step for Natural {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> Result<StepStats, UpdateError> {
        descend_cross_entropy(student, &batch.pixels, batch)
    }
}

/// One update on the cross-entropy of `pixels` with the batch's labels.
pub(super) fn descend_cross_entropy(
    student: &mut Student,
    pixels: &Tensor,
    batch: &TrainBatch,
) -> Result<StepStats, UpdateError> {
    let output = student.network().forward(pixels, Mode::Train)?;
    let loss = cross_entropy(&output.logits, &batch.labels)?.mean_all()?;
    let update = student.update(&loss, pixels)?;
    Ok(StepStats { loss_sum: update.loss, updates: 1, accuracy: accuracy(&output.logits, &batch.classes)? })
}
