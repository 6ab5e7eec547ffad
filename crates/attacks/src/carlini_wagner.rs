//! Carlini & Wagner's l2 attack (2017) as foolbox runs it: a search for the nearest misclassified image.
//!
//! Adam minimises ‖z − x‖² + c · max(0, lead of the label + confidence) over points z that the hyperbolic tangent keeps in
//! the box, for one constant c after another: ten times larger until one succeeds, then by bisection.
//!
//! An optimisation ends early when a tenth of its iterations brought no progress. That is asked of each image's own loss here, as the
//! reference does for a batch of one; it asks it of the batch's sum, so that its results depend on the batch.

mod adam;
mod bracket;
mod descent;
mod search;
mod space;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{CarliniWagnerSpec, Mode};

use crate::{
    Attack, AttackRng, Attacked, Ball,
    attack::one_each,
    logits::Classifier,
    minimum::{Minimum, Nearest},
    pixels::{Pixel, Pixels, by_pixel},
    survivors::{Survivors, gather},
};
use search::Search;

/// Carlini & Wagner's l2 attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarliniWagner {
    /// Whatever lies in this ball of l2 counts.
    pub ball: Ball,
    /// Optimiser steps for each constant that is tried.
    pub iterations: u32,
    /// Constants that are tried.
    pub search_steps: u32,
    /// Adam's step size.
    pub learning_rate: f64,
    /// The first constant.
    pub initial_constant: f64,
    /// By how much another logit must exceed the label's.
    pub confidence: f64,
}

impl From<&CarliniWagnerSpec> for CarliniWagner {
    fn from(spec: &CarliniWagnerSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            iterations: spec.iterations.get(),
            search_steps: spec.search_steps.get(),
            learning_rate: spec.learning_rate,
            initial_constant: spec.initial_constant,
            confidence: spec.confidence,
        }
    }
}

impl Attack for CarliniWagner {
    /// Hands back the natural image where the attack found nothing in the ball or had nothing to do; nothing is random, and all
    /// broken images count as broken by restart 0.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        _: &AttackRng<'_>,
    ) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        if labels.is_empty() {
            return Ok(Attacked::new(pixels.clone(), Vec::new()));
        }
        by_pixel!(pixels, T => {
            let natural = Pixels::<T>::read(pixels)?;
            self.attack(Classifier { model: victim, mode }, &natural, labels)?.finish(pixels.device())
        })
    }
}

impl CarliniWagner {
    /// The nearest misclassified images, whether or not the natural ones (N, C, H, W) are classified correctly.
    ///
    /// # Errors
    /// When labels are not one for each image or no classes, the type is neither f32 nor f64, or the victim fails.
    pub fn nearest(&self, victim: &dyn Model, mode: Mode, pixels: &Tensor, labels: &[u32]) -> Result<Nearest> {
        one_each("labels", labels.len(), pixels)?;
        by_pixel!(pixels, T => {
            let natural = Pixels::<T>::read(pixels)?;
            self.search(Classifier { model: victim, mode }, &natural, labels)?.into_nearest(pixels.device())
        })
    }

    fn attack<T: Pixel>(
        &self,
        classifier: Classifier<'_>,
        natural: &Pixels<T>,
        labels: &[u32],
    ) -> Result<Survivors<T>> {
        let logits = classifier.logits(natural)?;
        let mut survivors = Survivors::of(natural, &logits, labels)?;
        let rows = survivors.rows();
        let found = self.search(classifier, &natural.gather(&rows), &gather(labels, &rows))?;
        for (position, &row) in rows.iter().enumerate() {
            let seen = &found.seen[position];
            survivors.look(row, seen);
            if found.distance(position).is_some_and(|distance| distance <= self.ball.epsilon) {
                survivors.enter(row, 0, seen.iteration, found.images.image(position));
            }
        }
        Ok(survivors)
    }

    fn search<T: Pixel>(&self, classifier: Classifier<'_>, natural: &Pixels<T>, labels: &[u32]) -> Result<Minimum<T>> {
        Search { attack: self, classifier, natural, labels }.run()
    }
}
