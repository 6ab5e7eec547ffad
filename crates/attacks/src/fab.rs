//! Fast adaptive boundary attack (Croce & Hein 2020) as fra31/auto-attack runs it: a search for the nearest misclassified image.
//!
//! In each iteration the boundary between two classes is taken for a plane, onto which both the current point and the natural
//! image are projected within the box; the next point lies between the two, a little beyond the plane. Once it is misclassified
//! the search goes back towards the natural image.
//!
//! Every step is an image's own, as in the reference.

mod plane;
mod projection;
mod run;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{FabSpec, Mode};

use crate::{
    Attack, AttackRng, Attacked, Ball, Randomness,
    attack::one_each,
    logits::{Classifier, check_labels, is_correct, ranking},
    minimum::{Minimum, Nearest},
    pixels::{Pixel, Pixels, by_pixel},
    survivors::{Survivors, gather},
};
pub use projection::{Hyperplane, project_to_hyperplane};
use run::Run;

/// Fast adaptive boundary attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fab {
    /// How distances are measured; whatever lies in the ball counts.
    pub ball: Ball,
    /// Iterations per restart.
    pub iterations: u32,
    /// Restarts, each on the images that no earlier one broke: the first from the natural image, the others from random points at
    /// half of epsilon.
    pub restarts: u32,
    /// FAB-T: each restart goes towards the so many likeliest other classes, one after another. None: FAB.
    pub targets: Option<u32>,
}

impl From<&FabSpec> for Fab {
    fn from(spec: &FabSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            iterations: spec.iterations.get(),
            restarts: spec.restarts.get(),
            targets: spec.targets.map(std::num::NonZeroU32::get),
        }
    }
}

/// What a run goes for.
#[derive(Clone, Copy, Debug)]
pub enum Goal<'a> {
    /// The nearest boundary of any class.
    AnyClass,
    /// The boundary between each image's label and this class of its own.
    Classes(&'a [u32]),
}

impl Attack for Fab {
    /// Hands back the natural image where the attack found nothing in the ball or had nothing to do: images that are misclassified
    /// as they are count as broken by restart 0.
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
            let natural = Pixels::<T>::read(pixels)?;
            self.over_restarts(Classifier { model: victim, mode }, &natural, labels, rng)?.finish(pixels.device())
        })
    }
}

impl Fab {
    /// One run of all images from the natural images. Those that are misclassified as they are stay, at distance 0.
    ///
    /// # Errors
    /// When labels or target classes are not one for each image or no classes, the type is neither f32 nor f64, or the victim
    /// fails.
    pub fn single_run(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        goal: Goal<'_>,
    ) -> Result<Nearest> {
        one_each("labels", labels.len(), pixels)?;
        if let Goal::Classes(classes) = goal {
            one_each("target classes", classes.len(), pixels)?;
        }
        by_pixel!(pixels, T => {
            let (natural, classifier) = (Pixels::<T>::read(pixels)?, Classifier { model: victim, mode });
            let correct = correct(&classifier.logits(&natural)?, labels)?;
            let rows: Vec<usize> = (0..labels.len()).filter(|&row| correct[row]).collect();
            let found = self.run_on(classifier, &natural, &rows, labels, goal)?;
            let mut minimum = Minimum::none(&natural);
            (0..labels.len()).filter(|&row| !correct[row]).for_each(|row| minimum.enter(row, natural.image(row), 0.0));
            for (position, &row) in rows.iter().enumerate() {
                if let Some(distance) = found.distance(position) {
                    minimum.enter(row, found.images.image(position), distance);
                }
            }
            minimum.into_nearest(pixels.device())
        })
    }

    fn run_on<T: Pixel>(
        &self,
        classifier: Classifier<'_>,
        natural: &Pixels<T>,
        rows: &[usize],
        labels: &[u32],
        goal: Goal<'_>,
    ) -> Result<Minimum<T>> {
        let (natural, labels) = (natural.gather(rows), gather(labels, rows));
        let classes = match goal {
            Goal::AnyClass => None,
            Goal::Classes(classes) => Some(gather(classes, rows)),
        };
        let goal = classes.as_deref().map_or(Goal::AnyClass, Goal::Classes);
        Run { fab: self, classifier, natural: &natural, labels: &labels, goal }.from(natural.clone())
    }

    /// Restart by restart, within each target by target. (The reference takes targets first and restarts within them, which breaks
    /// the same images.)
    fn over_restarts<T: Pixel>(
        &self,
        classifier: Classifier<'_>,
        natural: &Pixels<T>,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Survivors<T>> {
        let logits = classifier.logits(natural)?;
        let mut survivors = Survivors::of(natural, &logits, labels)?;
        let classes = logits.first().map_or(0, Vec::len) as u32;
        // With fewer classes there are fewer to go for.
        let targets = self.targets.map_or(1, |targets| targets.min(classes.saturating_sub(1)));
        for (restart, target) in
            (0..self.restarts).flat_map(|restart| (0..targets).map(move |target| (restart, target)))
        {
            let rows = survivors.rows();
            if rows.is_empty() {
                break;
            }
            let ranked = |&row: &usize| ranking(&logits[row])[target as usize + 1] as u32;
            let (natural, labels) = (natural.gather(&rows), gather(labels, &rows));
            let classes: Vec<u32> = if self.targets.is_some() { rows.iter().map(ranked).collect() } else { Vec::new() };
            let goal = if self.targets.is_some() { Goal::Classes(&classes) } else { Goal::AnyClass };
            let key = |position: usize| rng.of(rows[position], restart * targets + target);
            let start = if restart == 0 { natural.clone() } else { self.random_start(&natural, key) };
            let found = Run { fab: self, classifier, natural: &natural, labels: &labels, goal }.from(start)?;
            for (position, &row) in rows.iter().enumerate() {
                let seen = &found.seen[position];
                survivors.look(row, seen);
                if found.distance(position).is_some_and(|distance| distance <= self.ball.epsilon) {
                    survivors.enter(row, restart, seen.iteration, found.images.image(position));
                }
            }
        }
        Ok(survivors)
    }

    /// Points at half of epsilon from the natural images, in the box.
    fn random_start<T: Pixel, R: Randomness>(
        &self,
        natural: &Pixels<T>,
        random: impl Fn(usize) -> R + Sync,
    ) -> Pixels<T> {
        let mut start = natural.clone();
        start.par_images_mut(|position, image| {
            let change = run::half_way(self.ball, image.len(), &mut random(position));
            for (z, change) in image.iter_mut().zip(change) {
                *z = T::from_f64((z.to_f64() + change).clamp(0.0, 1.0));
            }
        });
        start
    }
}

fn correct(logits: &[Vec<f64>], labels: &[u32]) -> Result<Vec<bool>> {
    check_labels(logits, labels)?;
    Ok(logits.iter().zip(labels).map(|(logits, &label)| is_correct(logits, label)).collect())
}
