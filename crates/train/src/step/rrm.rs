//! Robust Representation Matching (Vaishnavi et al. 2022, §4; digest §2.7).

use std::num::NonZeroU32;

use candle_core::Tensor;
use rrm_losses::{cosine, cross_entropy, l2_distance, relative_l2};
use rrm_models::{Model, Network, Output};
use rrm_spec::{Accuracy, Mode, RepresentationLoss};

use super::{Step, StepStats, TrainBatch, accuracy};
use crate::student::{Student, UpdateError};

/// Below which a representation's norm is taken to be this, as in the authors' `CosineSimilarity(eps=1e-6)`.
const COSINE_EPSILON: f64 = 1e-6;

/// λ·cross-entropy + representation loss against a frozen teacher, on natural images.
pub struct Rrm {
    teacher: Network,
    representation_loss: RepresentationLoss,
    lambda: f64,
    replays: NonZeroU32,
}

impl Rrm {
    /// The teacher is used in eval mode and frozen: neither its weights nor its running statistics move.
    pub fn new(teacher: &Network, representation_loss: RepresentationLoss, lambda: f64, replays: NonZeroU32) -> Self {
        Self { teacher: teacher.frozen(), representation_loss, lambda, replays }
    }

    /// The scalar that is minimised.
    fn loss(&self, output: &Output, target: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        let cross_entropy = cross_entropy(&output.logits, labels)?.mean_all()?;
        (cross_entropy * self.lambda)? + self.distance(&output.representation, target)?
    }

    fn distance(&self, representation: &Tensor, target: &Tensor) -> candle_core::Result<Tensor> {
        match self.representation_loss {
            // The authors maximise the mean cosine; we minimise 1 - it: the same gradient, and a loss that ends at 0.
            RepresentationLoss::Cosine => cosine(representation, target, COSINE_EPSILON)?.mean_all()?.affine(-1.0, 1.0),
            RepresentationLoss::RelativeL2 => relative_l2(representation, target)?.mean_all(),
            RepresentationLoss::L2 => l2_distance(representation, target)?.mean_all(),
        }
    }
}

impl Step for Rrm {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> Result<StepStats, UpdateError> {
        let target = self.teacher.forward(&batch.pixels, Mode::Eval)?.representation.detach();
        let mut stats = StepStats { loss_sum: 0.0, updates: 0, accuracy: Accuracy { correct: 0, total: 0 } };
        for _ in 0..self.replays.get() {
            let output = student.network().forward(&batch.pixels, Mode::Train)?;
            let loss = self.loss(&output, &target, &batch.labels)?;
            let update = student.update(&loss, &batch.pixels).map_err(|error| error.or_of_target(&target))?;
            stats.loss_sum += update.loss;
            stats.updates += 1;
            stats.accuracy = accuracy(&output.logits, &batch.classes)?;
        }
        Ok(stats)
    }

    fn updates_per_batch(&self) -> u32 {
        self.replays.get()
    }
}
