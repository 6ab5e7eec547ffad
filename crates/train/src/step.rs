//! One training step per method, behind one trait.

mod adversarial;
mod distillation;
mod free;
mod natural;
mod robust_distillation;
mod rrm;
mod trades;

use std::collections::HashMap;

use candle_core::{D, DType, Device, Tensor};
use rrm_data::Batch;
use rrm_models::Network;
use rrm_spec::{Accuracy, Method};

pub use adversarial::AdversarialTraining;
pub use distillation::{KnowledgeDistillation, SoftTargets};
pub use free::FreeAdversarialTraining;
pub use natural::Natural;
pub use robust_distillation::RobustDistillation;
pub use rrm::Rrm;
pub use trades::Trades;

use crate::student::{Student, UpdateError};

/// A batch on the device.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// (N, C, H, W) in [0, 1].
    pub pixels: Tensor,
    /// (N) u32 on the device.
    pub labels: Tensor,
    /// The same labels on the host.
    pub classes: Vec<u32>,
    /// Each image's position in the training set, which keys its randomness.
    pub indices: Vec<u32>,
    /// Counted from 1; keys the randomness too.
    pub epoch: u32,
}

impl TrainBatch {
    /// Copies `batch` to `device` as numbers of type `dtype`.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn new(batch: Batch, epoch: u32, device: &Device, dtype: DType) -> candle_core::Result<Self> {
        let Batch { images, labels: classes, indices, shape } = batch;
        let dims = (classes.len(), shape.channels, shape.height, shape.width);
        let pixels = Tensor::from_vec(images, dims, device)?.to_dtype(dtype)?;
        let labels = Tensor::new(classes.as_slice(), device)?;
        Ok(Self { pixels, labels, classes, indices, epoch })
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Sum of the losses of the step's updates, each before its update.
    pub loss_sum: f64,
    /// Updates made: 1, or the number of replays.
    pub updates: u32,
    /// Accuracy of the last update's forward pass, on the images as they were trained on.
    pub accuracy: Accuracy,
}

/// A training method: what happens to one batch.
pub trait Step {
    /// Trains `student` on `batch`.
    ///
    /// # Errors
    /// [`UpdateError::NotFinite`] where loss or weights leave the finite numbers.
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> Result<StepStats, UpdateError>;

    /// Updates per batch.
    fn updates_per_batch(&self) -> u32 {
        1
    }

    /// What later steps depend on besides the student, by name: it goes into checkpoints.
    fn state(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// Takes up the state that an earlier step of this method left.
    ///
    /// # Errors
    /// What is wrong with the state, where it is none of this method's.
    fn restore(&mut self, state: HashMap<String, Tensor>) -> Result<(), String> {
        nothing_left(&state)
    }
}

/// Refuses state that no method asked for.
fn nothing_left(state: &HashMap<String, Tensor>) -> Result<(), String> {
    match state.keys().min() {
        Some(name) => Err(format!("it holds a tensor `{name}`, which the method does not know")),
        None => Ok(()),
    }
}

/// Joins the name of a method to its implementation.
///
/// `teacher` is the network that [`Method::teacher`] names, loaded by the caller. `seed` keys the attack's randomness.
///
/// # Panics
/// When the method needs a teacher and there is none.
pub fn build(method: &Method, teacher: Option<&Network>, seed: u64) -> Box<dyn Step> {
    match method {
        Method::Natural => Box::new(Natural),
        Method::AdversarialTraining { attack, attack_mode } => {
            Box::new(AdversarialTraining::new(rrm_attacks::build(attack), *attack_mode, seed))
        }
        Method::FreeAdversarialTraining { threat, step_size, replays, perturbation } => {
            Box::new(FreeAdversarialTraining::new(threat.clone(), step_size.value(), *replays, *perturbation))
        }
        Method::Rrm { teacher: _, representation_loss, lambda, replays } => {
            Box::new(Rrm::new(loaded(teacher), *representation_loss, *lambda, *replays))
        }
        Method::KnowledgeDistillation { teacher: _, temperature, alpha, form } => {
            let soft_targets = SoftTargets { temperature: *temperature, alpha: *alpha, form: *form };
            Box::new(KnowledgeDistillation::new(loaded(teacher), soft_targets))
        }
        Method::AdversariallyRobustDistillation { teacher: _, attack, attack_mode, temperature, alpha, form } => {
            let soft_targets = SoftTargets { temperature: *temperature, alpha: *alpha, form: *form };
            let attack = rrm_attacks::build(attack);
            Box::new(RobustDistillation::new(loaded(teacher), soft_targets, attack, *attack_mode, seed))
        }
        Method::Trades { threat, steps, step_size, beta } => {
            Box::new(Trades::new(*beta, threat, steps.get(), step_size.value(), seed))
        }
    }
}

fn loaded(teacher: Option<&Network>) -> &Network {
    teacher.expect("whoever builds a step has loaded its teacher")
}

/// The classes that `logits` (N, classes) favour.
pub(crate) fn predictions(logits: &Tensor) -> candle_core::Result<Vec<u32>> {
    logits.detach().argmax(D::Minus1)?.to_vec1()
}

/// How many of the predictions hit.
pub(crate) fn accuracy(logits: &Tensor, classes: &[u32]) -> candle_core::Result<Accuracy> {
    let predicted = predictions(logits)?;
    let correct = predicted.iter().zip(classes).filter(|(predicted, class)| predicted == class).count();
    Ok(Accuracy { correct: correct as u64, total: classes.len() as u64 })
}
