//! One training step per method, behind one trait.

mod adversarial;
mod natural;
mod rrm;

use candle_core::{D, DType, Device, Tensor};
use rrm_data::Batch;
use rrm_models::Network;
use rrm_spec::{Accuracy, Method};

pub use adversarial::AdversarialTraining;
pub use natural::Natural;
pub use rrm::Rrm;

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
}

/// Joins the name of a method to its implementation.
///
/// `teacher` is the network that [`Method::Rrm`] names, loaded by the caller; other methods have none. `seed` keys the attack's
/// randomness.
///
/// # Panics
/// When the method needs a teacher and there is none.
pub fn build(method: &Method, teacher: Option<&Network>, seed: u64) -> Box<dyn Step> {
    match method {
        Method::Natural => Box::new(Natural),
        Method::AdversarialTraining { attack, attack_mode } => {
            Box::new(AdversarialTraining::new(rrm_attacks::build(attack), *attack_mode, seed))
        }
        Method::Rrm { teacher: _, representation_loss, lambda, replays } => {
            let teacher = teacher.expect("whoever builds an RRM step has loaded its teacher");
            Box::new(Rrm::new(teacher, *representation_loss, *lambda, *replays))
        }
    }
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
