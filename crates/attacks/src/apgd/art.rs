//! AutoPGD as ART 1.7.2 has it, with which the paper's numbers were made.
//!
//! It differs from the reference in what decides: one step size, one highest loss and one best point belong to a whole batch, by
//! its mean loss, and an image counts as broken only where the last iterate, or the point that a failed restart leaves behind,
//! misclassifies it. So results depend on batches, which are consecutive images here: batches of [`ArtApgd::batch`] of those that
//! are still classified correctly. A restart begins from the point that the one before left, with new noise on it.

mod schedule;

use std::num::NonZeroU32;

use candle_core::{Result, Tensor, bail};
use rrm_models::Model;
use rrm_spec::{ApgdSpec, Mode, PgdStart};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Seen, Victim,
    attack::one_each,
    pixels::{Pixel, Pixels, by_pixel},
    region::{Region, displace},
    start::displacement,
    survivors::{Survivors, gather},
    victim::Verdict,
};
use schedule::StepSize;
pub use schedule::art_checkpoints;

/// Weight of the new direction against the last one's (Croce & Hein 2020, α).
const MOMENTUM: f64 = 0.75;

/// AutoPGD in ART's form, on the cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArtApgd {
    /// Where it searches.
    pub ball: Ball,
    /// Iterations per restart.
    pub iterations: u32,
    /// Restarts.
    pub restarts: u32,
    /// Images that share a step size.
    pub batch: NonZeroU32,
}

impl ArtApgd {
    /// What the spec describes, in batches of `batch`. The first step is of twice the radius, as the authors passed it.
    pub fn of(spec: &ApgdSpec, batch: NonZeroU32) -> Self {
        let (iterations, restarts) = (spec.iterations.get(), spec.restarts.get());
        Self { ball: Ball::from(&spec.threat), iterations, restarts, batch }
    }
}

/// One iteration of a batch, for those who follow it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArtIteration {
    /// Iterations done; 0 for the start.
    pub index: u32,
    /// Images in the batch.
    pub images: usize,
    /// Step size from here on.
    pub step_size: f64,
    /// Mean loss of the iterate.
    pub loss: f64,
    /// Highest mean loss so far.
    pub best_loss: f64,
    /// Iterations since the last decision that raised the highest loss.
    pub rises: u32,
}

/// Follows a search, iteration by iteration and batch by batch.
pub type ArtObserver<'a> = dyn FnMut(ArtIteration) + 'a;

/// What is added to the point that the restart before left.
#[derive(Clone, Copy)]
enum Noise<'a> {
    /// Drawn, uniform in the ball, with each image's own randomness.
    Drawn(AttackRng<'a>),
    /// Given for all images, one tensor of changes for each restart.
    Given(&'a [Tensor]),
}

impl Attack for ArtApgd {
    /// Hands back the start of the last restart where the attack failed, as ART does, and the natural image where it had nothing to
    /// do.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        one_each("keys of randomness", rng.images.len(), pixels)?;
        self.attack(&Victim::by_cross_entropy(victim, mode), pixels, labels, Noise::Drawn(*rng), &mut |_| {})
    }
}

impl ArtApgd {
    /// Attacks a batch with given noise (N, C, H, W), one tensor of changes for each restart.
    ///
    /// # Errors
    /// As [`Attack::perturb`], and when there is not one tensor for each restart.
    pub fn perturb_with(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        noise: &[Tensor],
        observer: &mut ArtObserver<'_>,
    ) -> Result<Attacked> {
        if noise.len() != self.restarts as usize {
            bail!("noise of {} restarts for {}", noise.len(), self.restarts);
        }
        self.attack(victim, pixels, labels, Noise::Given(noise), observer)
    }

    fn attack(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        noise: Noise<'_>,
        observer: &mut ArtObserver<'_>,
    ) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        if labels.is_empty() {
            return Ok(Attacked::new(pixels.clone(), Vec::new()));
        }
        by_pixel!(pixels, T => {
            let region = Region::around(self.ball, Form::Art, Pixels::<T>::read(pixels)?);
            let search = Search { art: self, victim, labels, region: &region, noise };
            search.over_restarts(observer)?.finish(pixels.device())
        })
    }
}

/// A search for the images of one batch.
struct Search<'a, T> {
    art: &'a ArtApgd,
    victim: &'a Victim<'a>,
    labels: &'a [u32],
    region: &'a Region<T>,
    noise: Noise<'a>,
}

/// Where a run ended.
struct Ended<T> {
    start: Pixels<T>,
    last: Pixels<T>,
    verdict: Verdict,
    iterations: u32,
    seen: Vec<Seen>,
}

impl<T: Pixel> Search<'_, T> {
    fn over_restarts(&self, observer: &mut ArtObserver<'_>) -> Result<Survivors<T>> {
        let mut survivors = Survivors::unseen(self.region.natural().clone());
        self.judge(&mut survivors, 0)?;
        for restart in 0..self.art.restarts {
            for rows in survivors.rows().chunks(self.art.batch.get() as usize) {
                let ended = self.run(self.start(&survivors, restart, rows)?, rows, observer)?;
                ended.enter(&mut survivors, restart, rows);
            }
            self.judge(&mut survivors, restart)?;
        }
        Ok(survivors)
    }

    /// Points that failed restarts left may be misclassified, too.
    fn judge(&self, survivors: &mut Survivors<T>, restart: u32) -> Result<()> {
        let rows = survivors.rows();
        if rows.is_empty() {
            return Ok(());
        }
        let verdict = self.victim.judge(&survivors.images().gather(&rows), &gather(self.labels, &rows))?;
        for (position, &row) in rows.iter().enumerate() {
            survivors.judge(row, restart, &verdict.seen(position), verdict.correct[position]);
        }
        Ok(())
    }

    fn start(&self, survivors: &Survivors<T>, restart: u32, rows: &[usize]) -> Result<Pixels<T>> {
        let mut start = survivors.images().gather(rows);
        match self.noise {
            Noise::Drawn(rng) => start.par_images_mut(|position, image| {
                let random = || rng.of(rows[position], restart);
                let change = displacement(self.art.ball, Form::Art, PgdStart::Uniform, image.len(), random);
                displace(image, &change.unwrap_or_default());
            }),
            Noise::Given(noise) => {
                let noise = self.region.natural().read_alike(&noise[restart as usize])?.gather(rows);
                start.par_images_mut(|position, image| {
                    let change: Vec<f64> = noise.image(position).iter().map(|change| change.to_f64()).collect();
                    displace(image, &change);
                });
            }
        }
        self.region.gather(rows).project(&mut start);
        Ok(start)
    }

    /// All iterations of one batch.
    fn run(&self, start: Pixels<T>, rows: &[usize], observer: &mut ArtObserver<'_>) -> Result<Ended<T>> {
        let (region, labels) = (self.region.gather(rows), gather(self.labels, rows));
        let mut state = State::begin(self, &region, &labels, start.clone())?;
        state.show(observer);
        while state.done < self.art.iterations && !state.is_perfect() {
            state.step(self.art.iterations)?;
            state.show(observer);
        }
        let verdict = self.victim.judge(&state.iterate, &labels)?;
        Ok(Ended { start, last: state.iterate, verdict, iterations: state.done, seen: state.seen })
    }
}

/// A run on its way.
struct State<'a, T> {
    victim: &'a Victim<'a>,
    region: &'a Region<T>,
    labels: &'a [u32],
    done: u32,
    iterate: Pixels<T>,
    previous: Pixels<T>,
    gradient: Pixels<T>,
    best: Best<T>,
    step_size: StepSize,
    loss: f64,
    seen: Vec<Seen>,
}

/// The best point of a batch, that before it, and the gradient at it.
struct Best<T> {
    images: Pixels<T>,
    previous: Pixels<T>,
    gradient: Pixels<T>,
}

impl<'a, T: Pixel> State<'a, T> {
    fn begin(search: &Search<'a, T>, region: &'a Region<T>, labels: &'a [u32], start: Pixels<T>) -> Result<Self> {
        let (verdict, gradient) = search.victim.differentiate(&start, labels)?;
        let loss = mean(&verdict.loss);
        // The point before the best one is the natural image until a later iterate is the best.
        let best = Best { images: start.clone(), previous: region.natural().clone(), gradient: gradient.clone() };
        let mut state = Self {
            victim: search.victim,
            region,
            labels,
            done: 0,
            previous: start.clone(),
            iterate: start,
            gradient,
            best,
            step_size: StepSize::new(search.art.iterations, 2.0 * search.art.ball.epsilon, loss),
            loss,
            seen: vec![Seen::NOTHING; labels.len()],
        };
        state.look(&verdict);
        Ok(state)
    }

    /// ART ends a batch whose mean loss is exactly 0, from the second iteration on.
    fn is_perfect(&self) -> bool {
        self.done > 1 && self.loss == 0.0
    }

    fn step(&mut self, iterations: u32) -> Result<()> {
        self.climb();
        self.done += 1;
        let verdict = if self.done == iterations {
            self.victim.judge(&self.iterate, self.labels)?
        } else {
            let (verdict, gradient) = self.victim.differentiate(&self.iterate, self.labels)?;
            self.gradient = gradient;
            verdict
        };
        self.loss = mean(&verdict.loss);
        self.look(&verdict);
        if !self.is_perfect() {
            self.decide();
        }
        Ok(())
    }

    /// The first step is a plain one. Like ART it projects once: the guard in the projection would make a second one shrink a little
    /// more.
    fn climb(&mut self) {
        let length = self.step_size.length;
        if self.done == 0 {
            self.previous = self.iterate.clone();
            self.region.climb(&mut self.iterate, |row| Some(self.gradient.image(row)), length);
        } else {
            let (iterate, previous) = (&mut self.iterate, &mut self.previous);
            self.region.climb_with_momentum(iterate, previous, &self.gradient, |_| length, MOMENTUM);
        }
    }

    /// Keeps the best point, and goes back to it with half the step size where the search is stuck.
    fn decide(&mut self) {
        if self.step_size.enter(self.done, self.loss) {
            self.best.images = self.iterate.clone();
            self.best.gradient = self.gradient.clone();
            if self.done > 1 {
                self.best.previous = self.previous.clone();
            }
        }
        if self.step_size.halve_if_stuck(self.done) {
            self.iterate = self.best.images.clone();
            self.previous = self.best.previous.clone();
            self.gradient = self.best.gradient.clone();
        }
    }

    fn look(&mut self, verdict: &Verdict) {
        for (row, seen) in self.seen.iter_mut().enumerate() {
            seen.look(verdict.margin[row], verdict.cross_entropy[row]);
        }
    }

    fn show(&self, observer: &mut ArtObserver<'_>) {
        observer(ArtIteration {
            index: self.done,
            images: self.labels.len(),
            step_size: self.step_size.length,
            loss: self.loss,
            best_loss: self.step_size.best_loss,
            rises: self.step_size.rises,
        });
    }
}

impl<T: Pixel> Ended<T> {
    /// Enters the last iterate where it succeeded, and else leaves the start.
    fn enter(&self, survivors: &mut Survivors<T>, restart: u32, rows: &[usize]) {
        for (position, &row) in rows.iter().enumerate() {
            survivors.look(row, &self.seen[position]);
            if self.verdict.correct[position] {
                survivors.leave(row, self.start.image(position));
            } else {
                // Only the last iterate counts.
                survivors.enter(row, restart, Some(self.iterations), self.last.image(position));
            }
        }
    }
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}
