//! AutoPGD in the reference form: Croce & Hein 2020, Algorithm 1, as fra31/auto-attack runs it.
//!
//! Step sizes and bookkeeping are each image's own, restarts go on with the images that no earlier one broke, and an
//! image counts as broken when any iterate misclassifies it, the start included. Two habits of the reference are kept
//! on purpose: the oscillation test's first comparison (see [`oscillates`]), and that of several misclassified
//! iterates the last is handed back.

mod art;
mod checkpoints;
mod ledger;
mod run;
mod sparse;
mod targets;

use std::num::NonZeroU32;

use candle_core::{Result, Tensor};
use rrm_losses::targeted_dlr;
use rrm_models::Model;
use rrm_spec::{ApgdLoss, ApgdSpec, Mode, PgdStart};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Victim,
    attack::one_each,
    lead::Lead,
    pixels::{Pixel, Pixels, by_pixel},
    region::Region,
    start::Starts,
    survivors::{Survivors, gather},
};
pub use art::{ArtApgd, ArtIteration, ArtObserver, art_checkpoints};
pub use checkpoints::{Checkpoint, checkpoints};
pub use ledger::oscillates;
use run::{Finished, Run};
pub use run::{Iteration, Observer};
use targets::Targets;

/// AutoPGD in the reference form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apgd {
    /// Where it searches.
    pub ball: Ball,
    /// Iterations per restart.
    pub iterations: u32,
    /// Restarts, each on the images that no earlier one broke; of the targeted loss, so many for each target.
    pub restarts: u32,
    /// What is maximised by [`Attack::perturb`]; where a [`Victim`] is given, its objective is, unless the loss is targeted.
    pub loss: ApgdLoss,
    /// Classes that the targeted loss tries, none = 9; one less than the network's classes where that is fewer.
    pub targets: Option<u32>,
    /// Passes that each gradient is averaged over by [`Attack::perturb`]; where a [`Victim`] is given, its own are.
    pub passes: NonZeroU32,
}

impl From<&ApgdSpec> for Apgd {
    fn from(spec: &ApgdSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            iterations: spec.iterations.get(),
            restarts: spec.restarts.get(),
            loss: spec.loss,
            targets: spec.targets.map(NonZeroU32::get),
            passes: spec.eot,
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
            // Whose targets follow.
            ApgdLoss::Dlr | ApgdLoss::TargetedDlr => Victim::new(victim, mode, &rrm_losses::dlr),
        };
        let victim = Victim { passes: self.passes, ..victim };
        self.attack(&victim, pixels, labels, Starts::Drawn(PgdStart::Sphere, *rng))
    }
}

impl Apgd {
    /// Attacks a batch from given starting points (N, C, H, W), one tensor for each restart and, where the loss is targeted, each
    /// target, of which the rows of the images that are left are used.
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

    pub(crate) fn attack(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        starts: Starts<'_>,
    ) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        if labels.is_empty() {
            return Ok(Attacked::new(pixels.clone(), Vec::new()));
        }
        let targets = match self.loss {
            ApgdLoss::Ce | ApgdLoss::Dlr => Targets::none(self.restarts),
            ApgdLoss::TargetedDlr => Targets::ranked(self, victim, pixels, labels)?,
        };
        starts.check(targets.runs(), pixels)?;
        by_pixel!(pixels, T => {
            let batch = Batch { victim, region: &self.region::<T>(pixels)?, labels };
            self.over_restarts(&batch, &targets, starts)?.finish(pixels.device())
        })
    }

    /// All restarts, of all targets.
    fn over_restarts<T: Pixel>(
        &self,
        batch: &Batch<'_, T>,
        targets: &Targets,
        starts: Starts<'_>,
    ) -> Result<Survivors<T>> {
        let mut survivors = batch.survivors()?;
        let wide = sparse::region_of_starts(batch.region);
        for run in 0..targets.runs() {
            let rows = survivors.rows();
            if rows.is_empty() {
                break;
            }
            let start = starts.of(wide.as_ref().unwrap_or(batch.region), run, &rows)?;
            let finished = self.run_on(batch, &rows, start, targets.of(run, &rows))?;
            finished.enter(&mut survivors, run, &rows);
        }
        Ok(survivors)
    }

    /// One run on the images `rows`, away from their labels or towards `targets`.
    fn run_on<T: Pixel>(
        &self,
        batch: &Batch<'_, T>,
        rows: &[usize],
        start: Pixels<T>,
        targets: Option<Vec<u32>>,
    ) -> Result<Finished<T>> {
        let (region, labels) = (batch.region.gather(rows), gather(batch.labels, rows));
        let anchor = batch.victim.anchor_of(rows)?;
        let lead = anchor.as_ref().map_or(batch.victim.lead, Lead::Away);
        let run = Run {
            victim: &Victim { lead, ..*batch.victim },
            labels: &labels,
            region: &region,
            iterations: self.iterations,
            epsilon: self.ball.epsilon,
        };
        let Some(targets) = targets else { return run.from(start, &mut |_| {}) };
        let targets = Tensor::new(targets, batch.victim.model.device())?;
        let objective = |logits: &Tensor, labels: &Tensor| targeted_dlr(logits, labels, &targets);
        let victim = Victim { objective: &objective, ..*batch.victim };
        Run { victim: &victim, ..run }.from(start, &mut |_| {})
    }
}

/// What is attacked.
struct Batch<'a, T> {
    victim: &'a Victim<'a>,
    region: &'a Region<T>,
    labels: &'a [u32],
}

impl<T: Pixel> Batch<'_, T> {
    /// The natural images, of which those that are misclassified count as broken.
    fn survivors(&self) -> Result<Survivors<T>> {
        let natural = self.region.natural();
        let verdict = self.victim.judge(natural, self.labels)?;
        let mut survivors = Survivors::unseen(natural.clone());
        for (row, &is_correct) in verdict.correct.iter().enumerate() {
            survivors.judge(row, 0, &verdict.seen(row), is_correct);
        }
        Ok(survivors)
    }
}

impl<T: Pixel> Finished<T> {
    /// Enters what the run, of the images `rows`, found.
    fn enter(&self, survivors: &mut Survivors<T>, run: u32, rows: &[usize]) {
        for (position, &row) in rows.iter().enumerate() {
            let seen = &self.seen[position];
            survivors.look(row, seen);
            if seen.iteration.is_some() {
                survivors.enter(row, run, seen.iteration, self.adversarial.image(position));
            }
        }
    }
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
