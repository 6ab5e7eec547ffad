//! What every attack is to its callers.

use candle_core::{Result, Tensor, bail};
use rrm_data::{ImageRng, Stream};
use rrm_models::Model;
use rrm_spec::{ApgdDialect, AttackSpec, Mode};

use crate::{Apgd, ArtApgd, CarliniWagner, Ensemble, Fab, Fgsm, Pgd, Seen, Square, adaptive::adaptive};

/// Keys of the randomness of each image of a batch. What happens to an image depends on its key alone, not on the
/// other images of its batch.
#[derive(Clone, Copy, Debug)]
pub struct AttackRng<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// What the attack is for.
    pub stream: Stream,
    /// Epoch of training, so that each has its own starting points.
    pub epoch: u64,
    /// Position of each image of the batch in its data set.
    pub images: &'a [u32],
}

impl AttackRng<'_> {
    /// The randomness of the image in a row of the batch, in one restart.
    pub(crate) fn of(&self, row: usize, restart: u32) -> ImageRng {
        let keys = [self.epoch, u64::from(self.images[row]), u64::from(restart)];
        ImageRng::new(self.seed, self.stream, &keys)
    }

    /// The randomness that the image's target is drawn with in one restart, apart from that of its start.
    pub(crate) fn target_of(&self, row: usize, restart: u32) -> ImageRng {
        let keys = [self.epoch, u64::from(self.images[row]), u64::from(restart), 0];
        ImageRng::new(self.seed, self.stream, &keys)
    }

    /// Keys of one of several attacks in turn. The first has those that it would have alone.
    #[must_use]
    pub fn of_part(&self, part: u32) -> Self {
        match part {
            0 => *self,
            part => Self { seed: ImageRng::new(self.seed, self.stream, &[u64::from(part)]).next_u64(), ..*self },
        }
    }
}

/// What an attack did to a batch.
#[derive(Clone, Debug)]
pub struct Attacked {
    /// One image (N, C, H, W) for each natural one; which is for the attack's selection rule to say.
    pub images: Tensor,
    /// The first restart whose result was seen to be misclassified; none where all were classified correctly. An attack of
    /// several targets counts through: all targets of its first restart, those of its second, and so on.
    pub broken_by: Vec<Option<u32>>,
    /// What was seen of each image.
    pub seen: Vec<Seen>,
}

impl Attacked {
    /// Of an attack that tells no more than this.
    pub fn new(images: Tensor, broken_by: Vec<Option<u32>>) -> Self {
        let seen = vec![Seen::NOTHING; broken_by.len()];
        Self { images, broken_by, seen }
    }
}

/// A search for small changes that make a network err.
pub trait Attack: Send + Sync {
    /// Attacks a batch of images (N, C, H, W) in [0, 1], of the victim's type, with labels (N).
    ///
    /// # Errors
    /// When labels or keys are not one for each image, the type is neither f32 nor f64, or the victim fails.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked>;
}

/// The attack that a spec describes.
///
/// # Panics
/// When the attack is an adaptive one, which needs a teacher.
pub fn build(spec: &AttackSpec) -> Box<dyn Attack> {
    build_knowing(spec, None)
}

/// The attack that a spec describes, on a network that has learned from `teacher`: of the victim's type and on its device, and where
/// representations are compared of its width.
///
/// # Panics
/// When the attack is an adaptive one and there is no teacher.
pub fn build_knowing<'t>(spec: &AttackSpec, teacher: Option<&'t (dyn Model + Sync)>) -> Box<dyn Attack + 't> {
    match spec {
        AttackSpec::Fgsm(spec) => Box::new(Fgsm::from(spec)),
        AttackSpec::Pgd(spec) => Box::new(Pgd::from(spec)),
        AttackSpec::Apgd(spec) => match spec.dialect {
            ApgdDialect::Reference => Box::new(Apgd::from(spec)),
            ApgdDialect::Art { batch } => Box::new(ArtApgd::of(spec, batch)),
        },
        AttackSpec::Square(spec) => Box::new(Square::from(spec)),
        AttackSpec::Fab(spec) => Box::new(Fab::from(spec)),
        AttackSpec::CarliniWagner(spec) => Box::new(CarliniWagner::from(spec)),
        AttackSpec::AutoAttack(spec) => Box::new(Ensemble::new(spec.parts().iter().map(build).collect())),
        AttackSpec::Adaptive(spec) => {
            adaptive(spec, teacher.expect("whoever makes an adaptive attack knows the teacher"))
        }
    }
}

/// Fails unless there is one of `what` for each image.
pub(crate) fn one_each(what: &str, count: usize, pixels: &Tensor) -> Result<()> {
    let images = pixels.dim(0)?;
    if count != images {
        bail!("{count} {what} for {images} images");
    }
    Ok(())
}
