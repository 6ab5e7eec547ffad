//! All constants, for one batch.

use candle_core::Result;
use rayon::prelude::*;

use super::{CarliniWagner, bracket::Bracket, descent::Descent, space};
use crate::{
    ball::distance,
    logits::{Classifier, check_labels, is_correct, rival},
    minimum::Minimum,
    pixels::{Pixel, Pixels},
};

/// From so many constants on, the last one repeats the best.
const REPEATING: u32 = 10;

/// Checks of progress in an optimisation.
const CHECKS: u32 = 10;

/// A search for the images of one batch.
pub(super) struct Search<'a, T> {
    pub(super) attack: &'a CarliniWagner,
    pub(super) classifier: Classifier<'a>,
    pub(super) natural: &'a Pixels<T>,
    pub(super) labels: &'a [u32],
}

/// What the network makes of one point.
struct Judgement {
    /// By how much the label leads, confidence included; 0 where it does not.
    lead: f64,
    /// The label and the class that comes nearest to it.
    pair: (usize, usize),
    is_broken: bool,
    logits: Vec<f64>,
}

impl<T: Pixel> Search<'_, T> {
    pub(super) fn run(&self) -> Result<Minimum<T>> {
        let mut minimum = Minimum::none(self.natural);
        let mut brackets = vec![Bracket::from(self.attack.initial_constant); self.labels.len()];
        for step in 0..self.attack.search_steps {
            if step + 1 == self.attack.search_steps && self.attack.search_steps >= REPEATING {
                brackets.iter_mut().for_each(Bracket::repeat);
            }
            let succeeded = self.optimise(step * self.attack.iterations, &brackets, &mut minimum)?;
            brackets.iter_mut().zip(succeeded).for_each(|(bracket, succeeded)| bracket.narrow(succeeded));
        }
        Ok(minimum)
    }

    /// All images' optimisations with their constants, in step, after `earlier` iterations with others; says which found a
    /// misclassified image.
    fn optimise(&self, earlier: u32, brackets: &[Bracket], minimum: &mut Minimum<T>) -> Result<Vec<bool>> {
        let begin = |(row, bracket): (usize, &Bracket)| {
            let natural = self.natural.image(row).iter().map(|x| space::of_pixel(x.to_f64())).collect();
            Descent::begin(row, bracket.constant(), natural)
        };
        let mut descents: Vec<Descent> = brackets.iter().enumerate().map(begin).collect();
        let mut succeeded = vec![false; brackets.len()];
        for iteration in 0..self.attack.iterations {
            if descents.is_empty() {
                break;
            }
            let points: Vec<Vec<T>> = descents.par_iter().map(|d| d.pixels().map(T::from_f64).collect()).collect();
            let points = self.natural.with_images(&points);
            let (judgements, losses) = self.step(&mut descents, &points)?;
            let is_checked = iteration.is_multiple_of(self.attack.iterations.div_ceil(CHECKS));
            let mut position = 0;
            descents.retain_mut(|descent| {
                let (judgement, loss) = (&judgements[position], losses[position]);
                let goes_on = !is_checked || descent.progresses(loss);
                if goes_on {
                    let row = descent.row;
                    let image = points.image(position);
                    let distance = distance(self.attack.ball.norm, image, self.natural.image(row));
                    if distance <= self.attack.ball.epsilon {
                        minimum.look(row, earlier + iteration, &judgement.logits, self.labels[row]);
                    }
                    if judgement.is_broken {
                        succeeded[row] = true;
                        minimum.enter(row, image, distance);
                    }
                }
                position += 1;
                goes_on
            });
        }
        Ok(succeeded)
    }

    /// One step of every optimisation: what the network made of the points before it, and their losses.
    fn step(&self, descents: &mut [Descent], points: &Pixels<T>) -> Result<(Vec<Judgement>, Vec<f64>)> {
        let tracked = self.classifier.track(points)?;
        let labels: Vec<u32> = descents.iter().map(|descent| self.labels[descent.row]).collect();
        check_labels(&tracked.rows, &labels)?;
        let judgements: Vec<Judgement> =
            tracked.rows.iter().zip(&labels).map(|(logits, &label)| self.judge(logits, label)).collect();
        let pairs: Vec<(usize, usize)> = judgements.iter().map(|judgement| judgement.pair).collect();
        let leads = judgements.iter().any(|judgement| judgement.lead > 0.0);
        let gradients = if leads { Some(tracked.difference_gradients(points, &pairs)?) } else { None };
        let losses = descents
            .par_iter_mut()
            .zip(&judgements)
            .enumerate()
            .map(|(position, (descent, judgement))| {
                let gradient = gradients.as_ref().filter(|_| judgement.lead > 0.0);
                let gradient = gradient.map(|gradient| gradient.image(position).iter().map(|g| g.to_f64()));
                descent.step(judgement.lead, gradient, self.attack.learning_rate)
            })
            .collect();
        Ok((judgements, losses))
    }

    fn judge(&self, logits: &[f64], label: u32) -> Judgement {
        let pair = (label as usize, rival(logits, label));
        let lead = (logits[pair.0] - logits[pair.1] + self.attack.confidence).max(0.0);
        let mut raised = logits.to_vec();
        raised[pair.0] += self.attack.confidence;
        Judgement { lead, pair, is_broken: !is_correct(&raised, label), logits: logits.to_vec() }
    }
}
