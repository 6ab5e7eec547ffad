//! "Free" adversarial training (Shafahi et al. 2019, Algorithm 1; digest §2.6): one backward pass moves weights and images.
//!
//! Replay by replay: the loss of the changed batch, one backward pass, a step of the change up its gradient, an update of the
//! weights down theirs. The network is in train mode throughout.

use std::{collections::HashMap, num::NonZeroU32};

use candle_core::{Result, Tensor, Var, bail};
use rrm_losses::cross_entropy;
use rrm_models::Model;
use rrm_spec::{Accuracy, Mode, Norm, Perturbation, ThreatModel};

use super::{Step, StepStats, TrainBatch, accuracy};
use crate::{
    lengths::lengths,
    student::{Student, UpdateError},
};

/// What is added to a gradient's length before dividing by it, and to a change's; MadryLab's values.
const GUARDS: (f64, f64) = (1e-10, 1e-7);

/// The name of the change in checkpoints.
const CHANGE: &str = "perturbation";

/// Replays each batch, changing it a little further every time.
pub struct FreeAdversarialTraining {
    threat: ThreatModel,
    step_size: f64,
    replays: NonZeroU32,
    perturbation: Perturbation,
    /// (Largest batch so far, C, H, W): row by row what the last batch with that row ended with; none before the first.
    change: Option<Tensor>,
}

impl FreeAdversarialTraining {
    /// Starts with no change.
    pub fn new(threat: ThreatModel, step_size: f64, replays: NonZeroU32, perturbation: Perturbation) -> Self {
        Self { threat, step_size, replays, perturbation, change: None }
    }

    /// The change (rows, C, H, W) of the images in pixel units, as the last step left it.
    pub fn change(&self) -> Option<&Tensor> {
        self.change.as_ref()
    }

    /// What the images begin with.
    fn beginning(&self, pixels: &Tensor) -> Result<Tensor> {
        match (self.perturbation, &self.change) {
            (Perturbation::Reset, _) | (Perturbation::Carried, None) => pixels.zeros_like(),
            (Perturbation::Carried, Some(change)) => rows_for(change, pixels),
        }
    }

    /// Keeps what the batch ended with, and of a batch before that had more rows the others.
    fn keep(&mut self, change: Tensor) -> Result<()> {
        let rows = change.dim(0)?;
        let longer = self.change.as_ref().filter(|_| self.perturbation == Perturbation::Carried);
        let rest = match longer {
            Some(before) if before.dim(0)? > rows => Some(before.narrow(0, rows, before.dim(0)? - rows)?),
            Some(_) | None => None,
        };
        self.change = Some(match rest {
            Some(rest) => Tensor::cat(&[change, rest], 0)?,
            None => change,
        });
        Ok(())
    }

    /// A step up the gradient, into the ball and then into the box around `pixels`.
    fn climb(&self, change: &Tensor, gradient: &Tensor, pixels: &Tensor) -> Result<Tensor> {
        let epsilon = self.threat.epsilon.value();
        let (step_guard, ball_guard) = GUARDS;
        let within = match self.threat.norm {
            Norm::L1 => bail!("free adversarial training takes no steps in l1"),
            Norm::Linf => (change + (gradient.sign()? * self.step_size)?)?.clamp(-epsilon, epsilon)?,
            Norm::L2 => {
                let direction = gradient.broadcast_div(&(lengths(gradient)? + step_guard)?)?;
                let moved = (change + (direction * self.step_size)?)?;
                let length = lengths(&moved)?;
                let shrinkage = length.affine(1.0 / epsilon, ball_guard / epsilon)?.recip()?;
                let outside = length.gt(epsilon)?;
                moved.broadcast_mul(&outside.where_cond(&shrinkage, &shrinkage.ones_like()?)?)?
            }
        };
        within.maximum(&pixels.neg()?)?.minimum(&pixels.affine(-1.0, 1.0)?)
    }
}

/// The rows of `change` that the images `pixels` have; rows that no batch has had yet are zero.
fn rows_for(change: &Tensor, pixels: &Tensor) -> Result<Tensor> {
    let (had, rows) = (change.dim(0)?, pixels.dim(0)?);
    if change.dims()[1..] != pixels.dims()[1..] {
        bail!("the change {:?} is not one of images {:?}", change.shape(), pixels.shape());
    }
    if had >= rows { change.narrow(0, 0, rows) } else { change.pad_with_zeros(0, 0, rows - had) }
}

impl Step for FreeAdversarialTraining {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> std::result::Result<StepStats, UpdateError> {
        let mut change = self.beginning(&batch.pixels)?;
        let mut stats = StepStats { loss_sum: 0.0, updates: 0, accuracy: Accuracy { correct: 0, total: 0 } };
        for _ in 0..self.replays.get() {
            let images = Var::from_tensor(&(&batch.pixels + &change)?)?;
            let output = student.network().forward(images.as_tensor(), Mode::Train)?;
            let loss = cross_entropy(&output.logits, &batch.labels)?.mean_all()?;
            let update = student.update(&loss, &images.as_detached_tensor())?;
            let Some(gradient) = update.gradients.get(images.as_tensor()) else {
                return Err(candle_core::Error::Msg("the loss does not depend on the images".to_owned()).into());
            };
            change = self.climb(&change, &gradient.detach(), &batch.pixels)?.detach();
            stats.loss_sum += update.loss;
            stats.updates += 1;
            stats.accuracy = accuracy(&output.logits, &batch.classes)?;
        }
        self.keep(change)?;
        Ok(stats)
    }

    fn updates_per_batch(&self) -> u32 {
        self.replays.get()
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        match self.perturbation {
            Perturbation::Carried => self.change.iter().map(|change| (CHANGE.to_owned(), change.clone())).collect(),
            Perturbation::Reset => Vec::new(),
        }
    }

    fn restore(&mut self, mut state: HashMap<String, Tensor>) -> std::result::Result<(), String> {
        self.change = state.remove(CHANGE);
        super::nothing_left(&state)
    }
}
