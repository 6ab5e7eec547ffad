//! One restart, by each selection rule.

use candle_core::Result;
#[cfg(feature = "cuda")]
use rrm_spec::Norm;
use rrm_spec::{Mode, PgdSelection};

use super::Pgd;
use crate::{
    Victim,
    pixels::{Pixel, Pixels},
    region::Region,
    victim::Verdict,
};

/// A search for the images of one batch.
pub(super) struct Search<'a, T> {
    pub(super) pgd: &'a Pgd,
    pub(super) victim: &'a Victim<'a>,
    pub(super) labels: &'a [u32],
    pub(super) region: &'a Region<T>,
}

/// What one restart puts forward, and what the victim makes of it.
pub(super) struct Candidate<T> {
    pub(super) images: Pixels<T>,
    pub(super) verdict: Verdict,
}

impl<T: Pixel> Search<'_, T> {
    /// Runs one restart from `start`; `observe` sees every forward pass of it.
    pub(super) fn candidate(&self, start: Pixels<T>, observe: &mut dyn FnMut(&Verdict)) -> Result<Candidate<T>> {
        match self.pgd.selection {
            PgdSelection::Last => {
                let images = self.last_iterate(start, observe)?;
                let verdict = self.victim.judge(&images, self.labels)?;
                Ok(Candidate { images, verdict })
            }
            PgdSelection::BestLoss => self.best_iterate(start, observe),
            PgdSelection::StopWhenBroken => self.until_broken(start, observe),
        }
    }

    /// All steps, whatever happens on the way.
    pub(super) fn last_iterate(&self, mut iterate: Pixels<T>, observe: &mut dyn FnMut(&Verdict)) -> Result<Pixels<T>> {
        #[cfg(feature = "cuda")]
        if self.victim.model.device().is_cuda() && self.pgd.ball.norm != Norm::L1 {
            return self.last_iterate_on_device(&iterate, observe);
        }
        for _ in 0..self.pgd.steps {
            let (verdict, gradient) = self.victim.differentiate(&iterate, self.labels)?;
            observe(&verdict);
            self.region.climb(&mut iterate, |row| Some(gradient.image(row)), self.pgd.step_size);
        }
        Ok(iterate)
    }

    /// The iterate of highest loss, the start and the last one included.
    fn best_iterate(&self, mut iterate: Pixels<T>, observe: &mut dyn FnMut(&Verdict)) -> Result<Candidate<T>> {
        #[cfg(feature = "cuda")]
        if self.victim.model.device().is_cuda() && self.pgd.ball.norm != Norm::L1 {
            return self.best_iterate_on_device(&iterate, observe);
        }
        let mut best = Candidate::unjudged(iterate.clone());
        for _ in 0..self.pgd.steps {
            let (verdict, gradient) = self.victim.differentiate(&iterate, self.labels)?;
            observe(&verdict);
            best.improve(&iterate, &verdict);
            self.region.climb(&mut iterate, |row| Some(gradient.image(row)), self.pgd.step_size);
        }
        let verdict = self.victim.judge(&iterate, self.labels)?;
        observe(&verdict);
        best.improve(&iterate, &verdict);
        Ok(best)
    }

    /// Only images that are still classified correctly move; ends early when there are none.
    fn until_broken(&self, mut iterate: Pixels<T>, observe: &mut dyn FnMut(&Verdict)) -> Result<Candidate<T>> {
        let images = iterate.len();
        let mut verdict = Verdict::pending(images);
        for _ in 0..self.pgd.steps {
            let rows = self.undecided(&verdict);
            let (fresh, gradient) =
                self.of(&rows, |victim, labels| victim.differentiate(&iterate.gather(&rows), labels))?;
            verdict.update(&rows, &fresh);
            observe(&verdict);
            if !verdict.correct.contains(&true) {
                break;
            }
            let mut gradients = vec![None; images];
            for (position, &row) in rows.iter().enumerate().filter(|&(position, _)| fresh.correct[position]) {
                gradients[row] = Some(gradient.image(position));
            }
            self.region.climb(&mut iterate, |row| gradients[row], self.pgd.step_size);
        }
        let rows = self.undecided(&verdict);
        if !rows.is_empty() {
            verdict.update(&rows, &self.of(&rows, |victim, labels| victim.judge(&iterate.gather(&rows), labels))?);
        }
        observe(&verdict);
        Ok(Candidate { images: iterate, verdict })
    }

    /// The images that a forward pass could say something new about. In eval mode a broken image has stopped, and its
    /// verdict with it; in train mode the verdict on it, and that on all others, hangs on the whole batch.
    fn undecided(&self, verdict: &Verdict) -> Vec<usize> {
        let frozen = self.victim.mode == Mode::Eval;
        (0..verdict.correct.len()).filter(|&row| verdict.correct[row] || !frozen).collect()
    }

    /// Asks the victim about some of the images, with their labels and targets.
    fn of<R>(&self, rows: &[usize], ask: impl FnOnce(&Victim<'_>, &[u32]) -> R) -> R {
        let labels: Vec<u32> = rows.iter().map(|&row| self.labels[row]).collect();
        let targets = self.victim.targets_of(rows);
        ask(&Victim { targets: targets.as_deref(), ..*self.victim }, &labels)
    }
}

impl Verdict {
    /// Takes the news about some rows.
    fn update(&mut self, rows: &[usize], news: &Self) {
        rows.iter().enumerate().for_each(|(position, &row)| self.take(row, news, position));
    }

    fn take(&mut self, row: usize, news: &Self, position: usize) {
        self.loss[row] = news.loss[position];
        self.correct[row] = news.correct[position];
        self.margin[row] = news.margin[position];
        self.cross_entropy[row] = news.cross_entropy[position];
    }

    /// A verdict that any news replaces. Until then images count as correct, so that they are asked about.
    fn pending(images: usize) -> Self {
        let unknown = vec![f64::NAN; images];
        let correct = vec![true; images];
        Self { loss: unknown.clone(), correct, margin: unknown.clone(), cross_entropy: unknown }
    }

    /// A verdict that any loss improves on. Where no loss ever is a number, images count as broken.
    pub(super) fn none(images: usize) -> Self {
        let unknown = vec![f64::NAN; images];
        let (loss, correct) = (vec![f64::NEG_INFINITY; images], vec![false; images]);
        Self { loss, correct, margin: unknown.clone(), cross_entropy: unknown }
    }

    /// Takes the rows whose loss is strictly higher, and says which.
    pub(super) fn improve(&mut self, verdict: &Self) -> Vec<bool> {
        let better: Vec<bool> = verdict.loss.iter().zip(&self.loss).map(|(new, old)| new > old).collect();
        (0..better.len()).filter(|&row| better[row]).for_each(|row| self.take(row, verdict, row));
        better
    }
}

impl<T: Pixel> Candidate<T> {
    fn unjudged(images: Pixels<T>) -> Self {
        let verdict = Verdict::none(images.len());
        Self { images, verdict }
    }

    /// Takes each image whose loss is strictly higher.
    fn improve(&mut self, images: &Pixels<T>, verdict: &Verdict) {
        let better = self.verdict.improve(verdict);
        for row in (0..better.len()).filter(|&row| better[row]) {
            self.images.replace(row, images.image(row));
        }
    }
}
