//! Knowledge distillation (Hinton, Vinyals & Dean 2015; digest §2.9): a student learns its teacher's softened predictions.

use candle_core::{Result, Tensor};
use rrm_losses::{cross_entropy, soft_target_kl};
use rrm_models::{Model, Network};
use rrm_spec::{DistillationForm, Mode};

use super::{Step, StepStats, TrainBatch, accuracy};
use crate::student::{Student, UpdateError};

/// The two terms of a distillation loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftTargets {
    /// T, by which the logits of both networks are divided: by the loss, or in the paper's form by the networks.
    pub temperature: f64,
    /// α, the weight of the divergence beside that of the cross-entropy.
    pub alpha: f64,
    /// Whose form of the terms.
    pub form: DistillationForm,
}

impl SoftTargets {
    /// α·T²·KL(softmax(t/T) ‖ softmax(s/T)), a scalar; in the paper's form t and s have been divided. All logits are (N, classes).
    ///
    /// # Errors
    /// When the shapes differ or the teacher is tracked.
    pub fn divergence(&self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        let Self { temperature, alpha, form } = *self;
        let (divisor, share) = match form {
            DistillationForm::Textbook => (temperature, 1.0),
            // `KLDivLoss()` divides by the classes, too.
            DistillationForm::Released => (temperature, 1.0 / student.dim(1)? as f64),
            DistillationForm::Paper => (1.0, 1.0),
        };
        let mean = soft_target_kl(student, teacher, divisor)?.mean_all()?;
        mean * (alpha * temperature * temperature * share)
    }

    /// (1 − α)·cross-entropy with the labels (N), a scalar.
    ///
    /// # Errors
    /// When a label is not a class.
    pub fn cross_entropy(&self, student: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let softened = match self.form {
            DistillationForm::Textbook | DistillationForm::Paper => student.clone(),
            DistillationForm::Released => (student / self.temperature)?,
        };
        cross_entropy(&softened, labels)?.mean_all()? * (1.0 - self.alpha)
    }
}

/// Distillation on natural images from a frozen teacher.
pub struct KnowledgeDistillation {
    teacher: Network,
    soft_targets: SoftTargets,
}

impl KnowledgeDistillation {
    /// The teacher is used in eval mode and frozen: neither its weights nor its running statistics move.
    pub fn new(teacher: &Network, soft_targets: SoftTargets) -> Self {
        Self { teacher: teacher.frozen(), soft_targets }
    }
}

impl Step for KnowledgeDistillation {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> std::result::Result<StepStats, UpdateError> {
        let target = self.teacher.forward(&batch.pixels, Mode::Eval)?.logits.detach();
        let logits = student.network().forward(&batch.pixels, Mode::Train)?.logits;
        let divergence = self.soft_targets.divergence(&logits, &target)?;
        let loss = (divergence + self.soft_targets.cross_entropy(&logits, &batch.labels)?)?;
        let update = student.update(&loss, &batch.pixels).map_err(|error| error.or_of_target(&target))?;
        Ok(StepStats { loss_sum: update.loss, updates: 1, accuracy: accuracy(&logits, &batch.classes)? })
    }
}
