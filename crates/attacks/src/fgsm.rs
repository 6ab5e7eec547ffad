//! The fast gradient sign method: one step of [`Pgd`] from a start of its own.

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{FgsmDialect, FgsmSpec, Mode, Norm, PgdSelection, PgdStart, PgdTarget};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Pgd, Randomness, Victim,
    attack::one_each,
    pixels::{Pixels, by_pixel},
    region::displace,
    start::displacement,
};

/// The fast gradient sign method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fgsm {
    /// Where it searches.
    pub ball: Ball,
    /// Where the step begins.
    pub dialect: FgsmDialect,
    /// Length of the step, in pixel units.
    pub step_size: f64,
}

impl From<&FgsmSpec> for Fgsm {
    fn from(spec: &FgsmSpec) -> Self {
        Self { ball: Ball::from(&spec.threat), dialect: spec.dialect, step_size: spec.step_length() }
    }
}

impl Attack for Fgsm {
    /// In train mode it does not look whether it succeeded, as [`Pgd`].
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        match self.dialect {
            FgsmDialect::Goodfellow => self.step_from(PgdStart::Natural).perturb(victim, mode, pixels, labels, rng),
            FgsmDialect::Wong => self.step_from(PgdStart::Uniform).perturb(victim, mode, pixels, labels, rng),
            FgsmDialect::Tramer => {
                let start = self.random_corner(pixels, rng)?;
                let victim = Victim::by_cross_entropy(victim, mode);
                // Where it starts is given.
                let step = self.step_from(PgdStart::Natural);
                step.perturb_from(&victim, pixels, labels, &[start], &mut |_| {})
            }
        }
    }
}

impl Fgsm {
    fn step_from(&self, start: PgdStart) -> Pgd {
        Pgd {
            ball: self.ball,
            form: Form::MadryLab,
            steps: 1,
            step_size: self.step_size,
            start,
            selection: PgdSelection::Last,
            restarts: 1,
            target: PgdTarget::Untargeted,
            passes: std::num::NonZeroU32::MIN,
        }
    }

    /// What the step leaves of the radius, spent at random.
    fn random_corner(&self, pixels: &Tensor, rng: &AttackRng<'_>) -> Result<Tensor> {
        one_each("keys of randomness", rng.images.len(), pixels)?;
        let ball = Ball { epsilon: (self.ball.epsilon - self.step_size).max(0.0), ..self.ball };
        by_pixel!(pixels, T => {
            let mut started = Pixels::<T>::read(pixels)?;
            started.par_images_mut(|row, image| displace(image, &corner(ball, image.len(), rng.of(row, 0))));
            started.to_tensor(pixels.device())
        })
    }
}

/// A change of length epsilon: for l∞ the signs of one normal number per pixel, for l2 and l1 a random direction.
fn corner(ball: Ball, count: usize, mut random: impl Randomness) -> Vec<f64> {
    match ball.norm {
        Norm::Linf => (0..count).map(|_| ball.epsilon.copysign(random.normal())).collect(),
        Norm::L2 | Norm::L1 => {
            displacement(ball, Form::MadryLab, PgdStart::Sphere, count, || random).unwrap_or_default()
        }
    }
}
