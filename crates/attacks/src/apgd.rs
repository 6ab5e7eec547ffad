//! AutoPGD in the reference form: Croce & Hein 2020, Algorithm 1, as fra31/auto-attack runs it.
//!
//! Step sizes and bookkeeping are each image's own, restarts go on with the images that no earlier one broke, and an
//! image counts as broken when any iterate misclassifies it, the start included. Two habits of the reference are kept
//! on purpose: the oscillation test's first comparison (see [`oscillates`]), and that of several misclassified
//! iterates the last is handed back.

mod checkpoints;
mod ledger;
mod run;
mod sparse;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{ApgdLoss, ApgdSpec, Mode, PgdStart};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Victim,
    attack::one_each,
    pixels::{Pixel, Pixels, by_pixel},
    region::Region,
    start::Starts,
};
pub use checkpoints::{Checkpoint, checkpoints};
pub use ledger::oscillates;
use run::{Finished, Run};
pub use run::{Iteration, Observer};

/// AutoPGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apgd {
    /// Where it searches.
    pub ball: Ball,
    /// Iterations per restart.
    pub iterations: u32,
    /// Restarts, each on the images that no earlier one broke.
    pub restarts: u32,
    /// What is maximised by [`Attack::perturb`]; where a [`Victim`] is given, its objective is.
    pub loss: ApgdLoss,
}

impl From<&ApgdSpec> for Apgd {
    fn from(spec: &ApgdSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            iterations: spec.iterations.get(),
            restarts: spec.restarts.get(),
            loss: spec.loss,
        }
    }
}

/// What one run from one set of starting points found.
#[derive(Clone, Debug)]
pub struct SingleRun {
    /// The iterates of highest loss (N, C, H, W).
    pub highest: Tensor,
    /// The last misclassified iterates (N, C, H, W); the starting point where no iterate was.
    pub adversarial: Tensor,
    /// The highest loss of each image.
    pub best_losses: Vec<f64>,
    /// The first misclassified iterate of each image; 0 is the start.
    pub first_broken: Vec<Option<u32>>,
    /// The last misclassified iterate of each image.
    pub last_broken: Vec<Option<u32>>,
}

impl Attack for Apgd {
    /// Hands back the natural image where the attack failed or had nothing to do: images that are misclassified as
    /// they are count as broken by restart 0.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        let victim = match self.loss {
            ApgdLoss::Ce => Victim::by_cross_entropy(victim, mode),
        };
        self.attack(&victim, pixels, labels, Starts::Drawn(PgdStart::Sphere, *rng))
    }
}

impl Apgd {
    /// Attacks a batch from given starting points (N, C, H, W), one tensor for each restart, of which the rows of the
    /// images that are left are used.
    ///
    /// # Errors
    /// As [`Attack::perturb`], and when there is not one tensor of starting points for each restart.
    pub fn perturb_from(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        starts: &[Tensor],
    ) -> Result<Attacked> {
        self.attack(victim, pixels, labels, Starts::Given(starts))
    }

    /// One run of all images from one set of starting points (N, C, H, W), whether or not they are classified
    /// correctly to begin with. `observer` sees the start and every iteration.
    ///
    /// # Errors
    /// When labels or starting points are not one for each image, the type is neither f32 nor f64, or the victim
    /// fails.
    pub fn single_run(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        start: &Tensor,
        observer: &mut Observer<'_>,
    ) -> Result<SingleRun> {
        one_each("labels", labels.len(), pixels)?;
        by_pixel!(pixels, T => {
            let region = self.region::<T>(pixels)?;
            let start = region.natural().read_alike(&start.clamp(0.0, 1.0)?)?;
            let run = Run { victim, labels, region: &region, iterations: self.iterations, epsilon: self.ball.epsilon };
            SingleRun::of(run.from(start, observer)?, pixels)
        })
    }

    fn region<T: Pixel>(&self, pixels: &Tensor) -> Result<Region<T>> {
        Ok(Region::around(self.ball, Form::CroceHein, Pixels::read(pixels)?))
    }

    fn attack(&self, victim: &Victim<'_>, pixels: &Tensor, labels: &[u32], starts: Starts<'_>) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        starts.check(self.restarts, pixels)?;
        if labels.is_empty() {
            return Ok(Attacked { images: pixels.clone(), broken_by: Vec::new() });
        }
        by_pixel!(pixels, T => {
            let (images, broken_by) = self.over_restarts(victim, &self.region::<T>(pixels)?, labels, starts)?;
            Ok(Attacked { images: images.to_tensor(pixels.device())?, broken_by })
        })
    }

    /// All restarts: the images handed back, and the restart that broke each.
    fn over_restarts<T: Pixel>(
        &self,
        victim: &Victim<'_>,
        region: &Region<T>,
        labels: &[u32],
        starts: Starts<'_>,
    ) -> Result<(Pixels<T>, Vec<Option<u32>>)> {
        let mut images = region.natural().clone();
        let natural = victim.judge(&images, labels)?;
        let mut broken_by: Vec<Option<u32>> = natural.correct.iter().map(|&correct| (!correct).then_some(0)).collect();
        let wide = sparse::region_of_starts(region);
        for restart in 0..self.restarts {
            let rows: Vec<usize> = (0..labels.len()).filter(|&row| broken_by[row].is_none()).collect();
            if rows.is_empty() {
                break;
            }
            let start = starts.of(wide.as_ref().unwrap_or(region), restart, &rows)?;
            let finished = self.run_on(victim, &region.gather(&rows), &gather(labels, &rows), start)?;
            for (position, &row) in rows.iter().enumerate() {
                if finished.ledgers[position].first_broken.is_some() {
                    images.replace(row, finished.adversarial.image(position));
                    broken_by[row] = Some(restart);
                }
            }
        }
        Ok((images, broken_by))
    }

    fn run_on<T: Pixel>(
        &self,
        victim: &Victim<'_>,
        region: &Region<T>,
        labels: &[u32],
        start: Pixels<T>,
    ) -> Result<Finished<T>> {
        let run = Run { victim, labels, region, iterations: self.iterations, epsilon: self.ball.epsilon };
        run.from(start, &mut |_| {})
    }
}

fn gather(labels: &[u32], rows: &[usize]) -> Vec<u32> {
    rows.iter().map(|&row| labels[row]).collect()
}

impl SingleRun {
    fn of<T: Pixel>(finished: Finished<T>, pixels: &Tensor) -> Result<Self> {
        let ledgers = &finished.ledgers;
        Ok(Self {
            highest: finished.highest.to_tensor(pixels.device())?,
            adversarial: finished.adversarial.to_tensor(pixels.device())?,
            best_losses: ledgers.iter().map(|ledger| ledger.best_loss).collect(),
            first_broken: ledgers.iter().map(|ledger| ledger.first_broken).collect(),
            last_broken: ledgers.iter().map(|ledger| ledger.last_broken).collect(),
        })
    }
}
