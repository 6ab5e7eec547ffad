//! Adversarial training: cross-entropy on adversarial images alone.
//!
//! SAT (Madry et al. 2018; digest §2.4) and "Fast AT" (digest §2.5) are this step with different attacks. SAT attacks in eval
//! mode, with the running statistics frozen; Fast AT in train mode, where every forward pass of the attack moves them.

use rrm_attacks::{Attack, AttackRng};
use rrm_data::Stream;
use rrm_spec::Mode;

use super::{Step, StepStats, TrainBatch, natural::descend_cross_entropy};
use crate::student::{Student, UpdateError};

/// Attacks each batch, then descends on what came out.
pub struct AdversarialTraining {
    attack: Box<dyn Attack>,
    attack_mode: Mode,
    seed: u64,
}

impl AdversarialTraining {
    /// `seed` keys the attack's starting points, together with epoch and image.
    pub fn new(attack: Box<dyn Attack>, attack_mode: Mode, seed: u64) -> Self {
        Self { attack, attack_mode, seed }
    }
}

impl Step for AdversarialTraining {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> Result<StepStats, UpdateError> {
        let TrainBatch { pixels, labels: _, classes, indices, epoch } = batch;
        let rng =
            AttackRng { seed: self.seed, stream: Stream::AttackTraining, epoch: u64::from(*epoch), images: indices };
        let attacked = self.attack.perturb(&student.victim(), self.attack_mode, pixels, classes, &rng)?;
        descend_cross_entropy(student, &attacked.images.detach(), batch)
    }
}
