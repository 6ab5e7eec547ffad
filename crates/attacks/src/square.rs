//! Square Attack (Andriushchenko et al. 2020) as fra31/auto-attack runs it: a search without gradients.
//!
//! An image's change is altered in a random square at a time, and the alteration is kept where it lowers the loss. The
//! attack sees logits only, so a network that hides its gradients does not escape it.
//!
//! Squares and signs are each image's own here, drawn as the reference draws them for a batch of one. The reference shares them
//! among the images of a batch, so that its results depend on the batch.

mod bump;
mod extent;
mod proposal;
mod schedule;
mod search;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{Mode, Norm, SquareLoss, SquareSchedule, SquareSpec};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Randomness,
    attack::one_each,
    logits::Classifier,
    pixels::{Pixel, Pixels, by_pixel},
    region::Region,
    survivors::{Survivors, gather},
};
use extent::Extent;
pub use search::{Observer, Round};
use search::{Search, Standing};

/// The share of the radius that an l1 search keeps within, as in the reference: its projection ends at the ball's very surface, and
/// rounding might lead out.
const L1_SHARE: f64 = 1.0 - 1e-6;

/// Square Attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    /// Where it searches.
    pub ball: Ball,
    /// Altered images that are tried per restart, beside the start.
    pub queries: u32,
    /// Restarts, each on the images that no earlier one broke.
    pub restarts: u32,
    /// What is lowered.
    pub loss: SquareLoss,
    /// The square's share of the image at the beginning, above 0 and at most 1.
    pub initial_share: f64,
    /// When squares shrink.
    pub schedule: SquareSchedule,
}

impl From<&SquareSpec> for Square {
    fn from(spec: &SquareSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            queries: spec.queries.get(),
            restarts: spec.restarts.get(),
            loss: spec.loss,
            initial_share: spec.initial_share,
            schedule: spec.schedule,
        }
    }
}

/// What one run found.
#[derive(Clone, Debug)]
pub struct SingleRun {
    /// The best image (N, C, H, W) of each: the one of lowest loss, or the first that was misclassified.
    pub images: Tensor,
    /// Forward passes that each image took.
    pub queries: Vec<u32>,
    /// The best image's logit of the label minus the highest other one.
    pub margins: Vec<f64>,
    /// Whether the best image is classified correctly.
    pub correct: Vec<bool>,
}

impl Attack for Square {
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
        one_each("labels", labels.len(), pixels)?;
        one_each("keys of randomness", rng.images.len(), pixels)?;
        if labels.is_empty() {
            return Ok(Attacked::new(pixels.clone(), Vec::new()));
        }
        by_pixel!(pixels, T => {
            let region = self.region::<T>(pixels)?;
            self.over_restarts(Classifier { model: victim, mode }, &region, labels, rng)?.finish(pixels.device())
        })
    }
}

impl Square {
    /// One run of all images, whether or not they are classified correctly to begin with. `random` gives the randomness of each
    /// row: uniform numbers in the order in which fra31/auto-attack draws them for that image alone. `observer` sees every
    /// round, the one that tries the start included.
    ///
    /// # Errors
    /// When labels are not one for each image or no classes, images are not (N, C, H, W), the type is neither f32 nor f64, or
    /// the victim fails.
    pub fn single_run<R: Randomness + Send>(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        random: impl Fn(usize) -> R,
        observer: &mut Observer<'_>,
    ) -> Result<SingleRun> {
        one_each("labels", labels.len(), pixels)?;
        by_pixel!(pixels, T => {
            let region = self.region::<T>(pixels)?;
            let search = self.search(Classifier { model: victim, mode }, &region, labels)?;
            let standing = search.run((0..labels.len()).map(random).collect(), observer)?;
            SingleRun::of(standing, pixels)
        })
    }

    fn region<T: Pixel>(&self, pixels: &Tensor) -> Result<Region<T>> {
        let Ball { norm, epsilon } = self.ball;
        let share = if norm == Norm::L1 { L1_SHARE } else { 1.0 };
        Ok(Region::around(Ball { norm, epsilon: epsilon * share }, Form::CroceHein, Pixels::read(pixels)?))
    }

    fn search<'a, T: Pixel>(
        &'a self,
        classifier: Classifier<'a>,
        region: &'a Region<T>,
        labels: &'a [u32],
    ) -> Result<Search<'a, T>> {
        let extent = Extent::of(region.natural().image_dims())?;
        Ok(Search { square: self, classifier, region, labels, extent })
    }

    fn over_restarts<T: Pixel>(
        &self,
        classifier: Classifier<'_>,
        region: &Region<T>,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Survivors<T>> {
        let logits = classifier.logits(region.natural())?;
        let mut survivors = Survivors::of(region.natural(), &logits, labels)?;
        for restart in 0..self.restarts {
            let rows = survivors.rows();
            if rows.is_empty() {
                break;
            }
            let (region, labels) = (region.gather(&rows), gather(labels, &rows));
            let randoms = rows.iter().map(|&row| rng.of(row, restart)).collect();
            let standing = self.search(classifier, &region, &labels)?.run(randoms, &mut |_| {})?;
            for (position, &row) in rows.iter().enumerate() {
                survivors.look(row, &standing.seen[position]);
                if !standing.correct[position] {
                    // The last query, as an image is left alone from there on; the first one is the start's.
                    let iteration = standing.queries[position] - 1;
                    survivors.enter(row, restart, Some(iteration), standing.best.image(position));
                }
            }
        }
        Ok(survivors)
    }
}

impl SingleRun {
    fn of<T: Pixel, R>(standing: Standing<T, R>, pixels: &Tensor) -> Result<Self> {
        let images = standing.best.to_tensor(pixels.device())?;
        Ok(Self { images, queries: standing.queries, margins: standing.margins, correct: standing.correct })
    }
}
