//! Adversarially Robust Distillation (Goldblum et al. 2020, Eq. 4; digest §2.9): a student under attack learns what its teacher says
//! of the natural images.

use rrm_attacks::{Attack, AttackRng};
use rrm_data::Stream;
use rrm_models::{Model, Network};
use rrm_spec::Mode;

use super::{SoftTargets, Step, StepStats, TrainBatch, accuracy};
use crate::student::{Student, UpdateError};

/// α·T²·KL between teacher on natural and student on adversarial images, and (1 − α)·cross-entropy of the natural images.
pub struct RobustDistillation {
    teacher: Network,
    soft_targets: SoftTargets,
    attack: Box<dyn Attack>,
    attack_mode: Mode,
    seed: u64,
}

impl RobustDistillation {
    /// The teacher is used in eval mode and frozen. `seed` keys the attack's starting points, together with epoch and image.
    pub fn new(
        teacher: &Network,
        soft_targets: SoftTargets,
        attack: Box<dyn Attack>,
        attack_mode: Mode,
        seed: u64,
    ) -> Self {
        Self { teacher: teacher.frozen(), soft_targets, attack, attack_mode, seed }
    }
}

impl Step for RobustDistillation {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> Result<StepStats, UpdateError> {
        let TrainBatch { pixels, labels, classes, indices, epoch } = batch;
        let rng =
            AttackRng { seed: self.seed, stream: Stream::AttackTraining, epoch: u64::from(*epoch), images: indices };
        let attacked = self.attack.perturb(&student.victim(), self.attack_mode, pixels, classes, &rng)?.images.detach();
        let target = self.teacher.forward(pixels, Mode::Eval)?.logits.detach();
        let adversarial = student.network().forward(&attacked, Mode::Train)?.logits;
        let divergence = self.soft_targets.divergence(&adversarial, &target)?;
        // The released code makes this pass at α = 1, too: it moves the running statistics.
        let natural = if self.soft_targets.alpha < 1.0 { student.network() } else { student.frozen() };
        let natural = natural.forward(pixels, Mode::Train)?.logits;
        let loss = (divergence + self.soft_targets.cross_entropy(&natural, labels)?)?;
        let update = student.update(&loss, &attacked).map_err(|error| error.or_of_target(&target))?;
        Ok(StepStats { loss_sum: update.loss, updates: 1, accuracy: accuracy(&adversarial, classes)? })
    }
}
