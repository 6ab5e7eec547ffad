//! TRADES (Zhang et al. 2019, Eq. 5 and Algorithm 1): the cross-entropy of natural images, and how far an adversary can move their
//! predictions.

use std::num::NonZeroU32;

use candle_core::{Result, Tensor};
use rrm_attacks::{Ball, Form, Pgd, Victim};
use rrm_data::{ImageRng, Stream};
use rrm_losses::{cross_entropy, kl_divergence, soft_target_kl};
use rrm_models::Model;
use rrm_spec::{Mode, PgdSelection, PgdStart, PgdTarget, ThreatModel};

use super::{Step, StepStats, TrainBatch, accuracy};
use crate::student::{Student, UpdateError};

/// Deviation of the noise that the search starts from, in pixel units: at the natural image itself the divergence has no gradient.
const START_DEVIATION: f64 = 1e-3;

/// Cross-entropy(x) + β·max KL(f(x) ‖ f(x′)) over the ball.
pub struct Trades {
    beta: f64,
    search: Pgd,
    seed: u64,
}

impl Trades {
    /// The inner maximisation takes `steps` of `step_size` in eval mode; `seed` keys its starting points, together with epoch and
    /// image.
    pub fn new(beta: f64, threat: &ThreatModel, steps: u32, step_size: f64, seed: u64) -> Self {
        let (start, selection) = (PgdStart::Natural, PgdSelection::Last);
        let (target, passes) = (PgdTarget::Untargeted, NonZeroU32::MIN);
        let ball = Ball::from(threat);
        let search =
            Pgd { ball, form: Form::MadryLab, steps, step_size, start, selection, restarts: 1, target, passes };
        Self { beta, search, seed }
    }

    /// The images with normal noise on every pixel, inside the box.
    fn start(&self, batch: &TrainBatch) -> Result<Tensor> {
        let count = batch.pixels.elem_count() / batch.indices.len().max(1);
        let mut noise = Vec::with_capacity(batch.pixels.elem_count());
        for &image in &batch.indices {
            let keys = [u64::from(batch.epoch), u64::from(image), 0];
            let mut rng = ImageRng::new(self.seed, Stream::AttackTraining, &keys);
            noise.extend((0..count).map(|_| START_DEVIATION * rng.normal()));
        }
        let noise = Tensor::from_vec(noise, batch.pixels.shape(), batch.pixels.device())?;
        (&batch.pixels + noise.to_dtype(batch.pixels.dtype())?)?.clamp(0.0, 1.0)
    }

    /// The images whose predictions are furthest from the natural ones, as far as the search finds them from `start`.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb(&self, student: &Student, batch: &TrainBatch, start: Tensor) -> Result<Tensor> {
        let natural = student.frozen().forward(&batch.pixels, Mode::Eval)?.logits.detach();
        // One restart to its last iterate: the rows are always those of the batch.
        let divergence = |logits: &Tensor, _: &Tensor| soft_target_kl(logits, &natural, 1.0);
        let network = student.victim();
        let victim = Victim::new(&network, Mode::Eval, &divergence);
        let attacked = self.search.perturb_from(&victim, &batch.pixels, &batch.classes, &[start], &mut |_| {})?;
        Ok(attacked.images.detach())
    }

    /// One update from given starting points of the search.
    ///
    /// # Errors
    /// As [`Step::step`].
    pub fn step_from(
        &mut self,
        student: &mut Student,
        batch: &TrainBatch,
        start: Tensor,
    ) -> std::result::Result<StepStats, UpdateError> {
        let attacked = self.perturb(student, batch, start)?;
        let natural = student.network().forward(&batch.pixels, Mode::Train)?.logits;
        let adversarial = student.network().forward(&attacked, Mode::Train)?.logits;
        let divergence = kl_divergence(&natural, &adversarial)?.mean_all()?;
        let loss = (cross_entropy(&natural, &batch.labels)?.mean_all()? + (divergence * self.beta)?)?;
        let update = student.update(&loss, &attacked)?;
        Ok(StepStats { loss_sum: update.loss, updates: 1, accuracy: accuracy(&natural, &batch.classes)? })
    }
}

impl Step for Trades {
    fn step(&mut self, student: &mut Student, batch: &TrainBatch) -> std::result::Result<StepStats, UpdateError> {
        let start = self.start(batch)?;
        self.step_from(student, batch, start)
    }
}
