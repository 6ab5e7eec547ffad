//! One run over one batch.

use candle_core::Result;
use rayon::prelude::*;
use rrm_spec::SquareLoss;

use super::{Extent, Square, proposal::Proposer};
use crate::{
    Randomness, Seen,
    logits::{Classifier, check_labels, cross_entropy, is_correct, margin},
    pixels::{Pixel, Pixels},
    region::Region,
};

/// A search for the images of one batch.
pub(super) struct Search<'a, T> {
    pub(super) square: &'a Square,
    pub(super) classifier: Classifier<'a>,
    pub(super) region: &'a Region<T>,
    pub(super) labels: &'a [u32],
    pub(super) extent: Extent,
}

/// How far each image has come.
pub(super) struct Standing<T, R> {
    pub(super) best: Pixels<T>,
    pub(super) margins: Vec<f64>,
    losses: Vec<f64>,
    pub(super) correct: Vec<bool>,
    pub(super) queries: Vec<u32>,
    /// Of all points that were tried.
    pub(super) seen: Vec<Seen>,
    randoms: Vec<R>,
}

/// One round of queries, for those who follow a run.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// Queries before it; 0 is the start's.
    pub index: u32,
    /// Margin of each image's best point as of this round.
    pub margins: &'a [f64],
    /// The lowest loss of each image so far.
    pub losses: &'a [f64],
}

/// Follows a run, round by round.
pub type Observer<'a> = dyn FnMut(&Round<'_>) + 'a;

/// What the network makes of one proposal.
struct Answer {
    margin: f64,
    cross_entropy: f64,
    loss: f64,
    correct: bool,
}

impl<T: Pixel> Search<'_, T> {
    /// All queries; images drop out as soon as their margin is not above 0.
    pub(super) fn run<R: Randomness + Send>(
        &self,
        randoms: Vec<R>,
        observer: &mut Observer<'_>,
    ) -> Result<Standing<T, R>> {
        let mut standing = self.begin(randoms)?;
        standing.show(0, observer);
        for query in 0..self.square.queries {
            let rows = standing.unbroken();
            if rows.is_empty() {
                break;
            }
            let proposals = self.proposals(&mut standing, query);
            let answers = self.ask(&proposals, &rows)?;
            for (position, (&row, answer)) in rows.iter().zip(answers).enumerate() {
                standing.consider(row, proposals.image(position), &answer);
            }
            standing.show(query + 1, observer);
        }
        Ok(standing)
    }

    fn begin<R: Randomness + Send>(&self, mut randoms: Vec<R>) -> Result<Standing<T, R>> {
        let proposer = Proposer { square: self.square, extent: self.extent };
        let (region, natural) = (self.region, self.region.natural());
        let starts = randoms
            .par_iter_mut()
            .enumerate()
            .map(|(row, random)| settled(region, row, proposer.start(&numbers(natural.image(row)), random)));
        let best = natural.with_images(&starts.collect::<Vec<_>>());
        let rows: Vec<usize> = (0..best.len()).collect();
        let answers = self.ask(&best, &rows)?;
        Ok(Standing {
            best,
            margins: answers.iter().map(|answer| answer.margin).collect(),
            losses: answers.iter().map(|answer| answer.loss).collect(),
            correct: answers.iter().map(|answer| answer.correct).collect(),
            queries: vec![1; rows.len()],
            seen: answers.iter().map(Answer::seen).collect(),
            randoms,
        })
    }

    /// The next proposal for each image that is not broken.
    fn proposals<R: Randomness + Send>(&self, standing: &mut Standing<T, R>, query: u32) -> Pixels<T> {
        let proposer = Proposer { square: self.square, extent: self.extent };
        let (region, natural) = (self.region, self.region.natural());
        let Standing { best, margins, randoms, .. } = standing;
        let (best, margins) = (&*best, &*margins);
        let unbroken = randoms.par_iter_mut().enumerate().filter(|(row, _)| margins[*row] > 0.0);
        let proposals = unbroken.map(|(row, random)| {
            let target = proposer.next(&numbers(natural.image(row)), &numbers(best.image(row)), query, random);
            settled(region, row, target)
        });
        natural.with_images(&proposals.collect::<Vec<_>>())
    }

    fn ask(&self, pixels: &Pixels<T>, rows: &[usize]) -> Result<Vec<Answer>> {
        let logits = self.classifier.logits(pixels)?;
        let labels: Vec<u32> = rows.iter().map(|&row| self.labels[row]).collect();
        check_labels(&logits, &labels)?;
        Ok(logits.iter().zip(&labels).map(|(logits, &label)| self.answer(logits, label)).collect())
    }

    fn answer(&self, logits: &[f64], label: u32) -> Answer {
        let (margin, cross_entropy) = (margin(logits, label), cross_entropy(logits, label));
        let loss = match self.square.loss {
            SquareLoss::Margin => margin,
            SquareLoss::Ce => -cross_entropy,
        };
        Answer { margin, cross_entropy, loss, correct: is_correct(logits, label) }
    }
}

impl Answer {
    fn seen(&self) -> Seen {
        let mut seen = Seen::NOTHING;
        seen.look(self.margin, self.cross_entropy);
        seen
    }
}

impl<T: Pixel, R> Standing<T, R> {
    fn unbroken(&self) -> Vec<usize> {
        (0..self.margins.len()).filter(|&row| self.margins[row] > 0.0).collect()
    }

    /// Takes a proposal that lowers the loss or is misclassified.
    fn consider(&mut self, row: usize, proposal: &[T], answer: &Answer) {
        self.queries[row] += 1;
        self.seen[row].look(answer.margin, answer.cross_entropy);
        let is_lower = answer.loss < self.losses[row];
        if is_lower {
            self.losses[row] = answer.loss;
        }
        if is_lower || answer.margin <= 0.0 {
            self.best.replace(row, proposal);
            self.margins[row] = answer.margin;
            self.correct[row] = answer.correct;
        }
    }

    fn show(&self, index: u32, observer: &mut Observer<'_>) {
        observer(&Round { index, margins: &self.margins, losses: &self.losses });
    }
}

/// The point of the region that takes the place of `target`.
fn settled<T: Pixel>(region: &Region<T>, row: usize, mut target: Vec<f64>) -> Vec<T> {
    let mut image = region.natural().image(row).to_vec();
    region.settle(row, &mut target, &mut image);
    image
}

fn numbers<T: Pixel>(image: &[T]) -> Vec<f64> {
    image.iter().map(|number| number.to_f64()).collect()
}
