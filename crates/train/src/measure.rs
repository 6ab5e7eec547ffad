//! Natural and robust accuracy, image by image.

use candle_core::{Device, Tensor};
use rrm_attacks::{Attack, AttackRng};
use rrm_data::{Images, Stream, test_batches};
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, AttackSpec, ImageOutcome, Mode, Outcome};

use crate::{
    error::Halt,
    monitor::Monitor,
    step::{TrainBatch, predictions},
    work,
};

/// How a network is measured. No outcome depends on `batch_size`.
pub(crate) struct Measurement<'a> {
    /// `None` = natural accuracy alone.
    pub(crate) attack: Option<&'a AttackSpec>,
    /// The first so many test images; `None` = all.
    pub(crate) images: Option<usize>,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) stream: Stream,
    pub(crate) epoch: u32,
}

impl Measurement<'_> {
    /// One outcome per test image; without an attack every correctly classified image counts as robust.
    pub(crate) fn outcomes(
        &self,
        victim: &Network,
        images: &Images,
        monitor: &mut Monitor<'_>,
    ) -> Result<Vec<ImageOutcome>, Halt> {
        let (attack, work) = (self.attack.map(rrm_attacks::build), work::measurement(self.attack));
        let mut outcomes = Vec::new();
        for batch in test_batches(images, self.images, self.batch_size) {
            monitor.proceed()?;
            let batch = TrainBatch::new(batch, self.epoch, victim.device(), victim.dtype())?;
            outcomes.extend(self.batch_outcomes(victim, attack.as_deref(), &batch)?);
            let count = batch.classes.len() as u64;
            monitor.advance(count, count * work);
        }
        Ok(outcomes)
    }

    fn batch_outcomes(
        &self,
        victim: &Network,
        attack: Option<&dyn Attack>,
        batch: &TrainBatch,
    ) -> candle_core::Result<Vec<ImageOutcome>> {
        let predicted = predictions(&victim.forward(&batch.pixels, Mode::Eval)?.logits)?;
        let mut outcomes: Vec<_> =
            predicted.iter().enumerate().map(|(i, &prediction)| natural(batch, i, prediction)).collect();
        let correct: Vec<usize> = (0..outcomes.len()).filter(|&i| outcomes[i].outcome == Outcome::Robust).collect();
        if let (Some(attack), false) = (attack, correct.is_empty()) {
            let broken_by = self.attack(victim, attack, batch, &correct)?;
            for (&i, restart) in correct.iter().zip(broken_by) {
                outcomes[i].outcome = restart.map_or(Outcome::Robust, |restart| Outcome::Broken { restart });
            }
        }
        Ok(outcomes)
    }

    /// Attacks the images at these positions of the batch: what is misclassified already needs no attack.
    fn attack(
        &self,
        victim: &Network,
        attack: &dyn Attack,
        batch: &TrainBatch,
        positions: &[usize],
    ) -> candle_core::Result<Vec<Option<u32>>> {
        let pixels = select(&batch.pixels, positions)?;
        let labels: Vec<u32> = positions.iter().map(|&i| batch.classes[i]).collect();
        let images: Vec<u32> = positions.iter().map(|&i| batch.indices[i]).collect();
        let rng = AttackRng { seed: self.seed, stream: self.stream, epoch: u64::from(self.epoch), images: &images };
        Ok(attack.perturb(victim, Mode::Eval, &pixels, &labels, &rng)?.broken_by)
    }
}

fn natural(batch: &TrainBatch, i: usize, prediction: u32) -> ImageOutcome {
    let label = batch.classes[i];
    let outcome = if prediction == label { Outcome::Robust } else { Outcome::Misclassified };
    ImageOutcome { image: batch.indices[i], label, prediction, outcome }
}

fn select(pixels: &Tensor, positions: &[usize]) -> candle_core::Result<Tensor> {
    if positions.len() == pixels.dim(0)? {
        return Ok(pixels.clone());
    }
    let positions: Vec<u32> = positions.iter().map(|&i| i as u32).collect();
    let device: &Device = pixels.device();
    pixels.index_select(&Tensor::new(positions, device)?, 0)
}

/// Images whose natural form is classified correctly.
pub(crate) fn natural_accuracy(outcomes: &[ImageOutcome]) -> Accuracy {
    count(outcomes, |outcome| outcome != Outcome::Misclassified)
}

/// Images that the attack did not break.
pub(crate) fn robust_accuracy(outcomes: &[ImageOutcome]) -> Accuracy {
    count(outcomes, |outcome| outcome == Outcome::Robust)
}

fn count(outcomes: &[ImageOutcome], correct: impl Fn(Outcome) -> bool) -> Accuracy {
    let correct = outcomes.iter().filter(|image| correct(image.outcome)).count();
    Accuracy { correct: correct as u64, total: outcomes.len() as u64 }
}
