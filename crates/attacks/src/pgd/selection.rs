//! Which of the restarts' candidates is handed back.

use rrm_spec::PgdSelection;

use super::search::Candidate;
use crate::pixels::{Pixel, Pixels};

/// What is handed back as of the restarts so far.
pub(super) struct Chosen<T> {
    selection: PgdSelection,
    loss: Vec<f64>,
    pub(super) images: Pixels<T>,
    /// The first restart whose candidate is misclassified. Selection by loss may yet hand back another restart's
    /// candidate that is classified correctly: of two that lose by little, the one with the higher cross-entropy.
    pub(super) broken_by: Vec<Option<u32>>,
}

impl<T: Pixel> Chosen<T> {
    pub(super) fn new(selection: PgdSelection, is_targeted: bool, natural: Pixels<T>) -> Self {
        // Wong et al. start from a loss of 0, which the cross-entropy always reaches. A target's, negated, never exceeds it.
        let floor = match selection {
            PgdSelection::StopWhenBroken if !is_targeted => 0.0,
            PgdSelection::Last | PgdSelection::BestLoss | PgdSelection::StopWhenBroken => f64::NEG_INFINITY,
        };
        let images = natural.len();
        Self { selection, loss: vec![floor; images], images: natural, broken_by: vec![None; images] }
    }

    /// Takes what is better, and says which images are broken for the first time.
    pub(super) fn consider(&mut self, restart: u32, candidate: &Candidate<T>) -> Vec<usize> {
        let mut news = Vec::new();
        for row in 0..self.loss.len() {
            let (loss, correct) = (candidate.verdict.loss[row], candidate.verdict.correct[row]);
            if !correct && self.broken_by[row].is_none() {
                self.broken_by[row] = Some(restart);
                news.push(row);
            }
            if self.replaces(restart, row, loss, correct) {
                self.images.replace(row, candidate.images.image(row));
                self.loss[row] = loss;
            }
        }
        news
    }

    fn replaces(&self, restart: u32, row: usize, loss: f64, correct: bool) -> bool {
        match self.selection {
            PgdSelection::Last => restart == 0 || !correct,
            PgdSelection::BestLoss => restart == 0 || loss > self.loss[row],
            PgdSelection::StopWhenBroken => loss >= self.loss[row],
        }
    }
}
