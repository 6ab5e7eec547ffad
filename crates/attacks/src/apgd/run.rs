//! One run of AutoPGD from one set of starting points.

use candle_core::Result;
use rrm_spec::Norm;

use super::{checkpoints, ledger::Ledger};
use crate::{
    Seen, Victim,
    pixels::{Pixel, Pixels},
    region::Region,
    victim::Verdict,
};

/// Weight of the new direction against the last one's (Croce & Hein 2020, α).
const MOMENTUM: f64 = 0.75;

/// A run over one batch.
pub(super) struct Run<'a, T> {
    pub(super) victim: &'a Victim<'a>,
    pub(super) labels: &'a [u32],
    pub(super) region: &'a Region<T>,
    pub(super) iterations: u32,
    pub(super) epsilon: f64,
}

/// What a run leaves behind.
pub(super) struct Finished<T> {
    pub(super) highest: Pixels<T>,
    pub(super) adversarial: Pixels<T>,
    pub(super) ledgers: Vec<Ledger>,
    /// Of each image; the iteration is that which first broke it.
    pub(super) seen: Vec<Seen>,
}

/// One iteration, for those who follow a run. What is not asked for is not computed.
pub struct Iteration<'a> {
    /// 0 for the start.
    pub index: u32,
    /// Loss of each image's iterate.
    pub losses: &'a [f64],
    /// Whether each image's iterate is classified correctly.
    pub correct: &'a [bool],
    pub(super) ledgers: &'a [Ledger],
    pub(super) iterate: &'a dyn Fn(usize) -> Vec<f64>,
}

impl Iteration<'_> {
    /// Step size of each image from here on.
    pub fn step_sizes(&self) -> Vec<f64> {
        self.ledgers.iter().map(|ledger| ledger.step_size).collect()
    }

    /// Highest loss of each image so far.
    pub fn best_losses(&self) -> Vec<f64> {
        self.ledgers.iter().map(|ledger| ledger.best_loss).collect()
    }

    /// The point from which an image goes on: its iterate, or its best point where its step size was just halved.
    pub fn iterate(&self, row: usize) -> Vec<f64> {
        (self.iterate)(row)
    }
}

/// Follows a run, iteration by iteration.
pub type Observer<'a> = dyn FnMut(&Iteration<'_>) + 'a;

/// A run on its way.
struct State<T> {
    iterate: Pixels<T>,
    previous: Pixels<T>,
    gradient: Pixels<T>,
    best: Pixels<T>,
    best_gradient: Pixels<T>,
    adversarial: Pixels<T>,
    ledgers: Vec<Ledger>,
    seen: Vec<Seen>,
    verdict: Verdict,
}

impl<T: Pixel> Run<'_, T> {
    /// Runs all iterations: one gradient for each, and at the end a forward pass for the last iterate's loss. (The
    /// reference also computes that iterate's gradient, and drops it.)
    pub(super) fn from(&self, start: Pixels<T>, observer: &mut Observer<'_>) -> Result<Finished<T>> {
        if self.region.ball().norm == Norm::L1 {
            return self.sparse(start, observer);
        }
        let mut state = self.begin(start)?;
        state.show(0, observer);
        let mut checkpoints = checkpoints(self.iterations).into_iter().peekable();
        for iteration in 1..=self.iterations {
            self.step(&mut state, iteration)?;
            state.enter(iteration);
            if let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.after == iteration) {
                state.halve_where_stuck(checkpoint.after, checkpoint.window);
            }
            state.show(iteration, observer);
        }
        Ok(state.finish())
    }

    fn begin(&self, start: Pixels<T>) -> Result<State<T>> {
        let (verdict, gradient) = self.victim.differentiate(&start, self.labels)?;
        let first_step = 2.0 * self.epsilon;
        let open = |(&loss, &correct)| Ledger::open(self.iterations, first_step, loss, correct);
        let mut seen = vec![Seen::NOTHING; start.len()];
        look(&mut seen, &verdict);
        Ok(State {
            ledgers: verdict.loss.iter().zip(&verdict.correct).map(open).collect(),
            seen,
            previous: start.clone(),
            best: start.clone(),
            adversarial: start.clone(),
            iterate: start,
            best_gradient: gradient.clone(),
            gradient,
            verdict,
        })
    }

    fn step(&self, state: &mut State<T>, iteration: u32) -> Result<()> {
        let momentum = if iteration == 1 { 1.0 } else { MOMENTUM };
        let State { iterate, previous, gradient, ledgers, .. } = state;
        self.region.climb_with_momentum(iterate, previous, gradient, |row| ledgers[row].step_size, momentum);
        if iteration == self.iterations {
            state.verdict = self.victim.judge(&state.iterate, self.labels)?;
        } else {
            (state.verdict, state.gradient) = self.victim.differentiate(&state.iterate, self.labels)?;
        }
        Ok(())
    }
}

impl<T: Pixel> State<T> {
    /// Enters the iterate in the books.
    fn enter(&mut self, iteration: u32) {
        look(&mut self.seen, &self.verdict);
        for (row, ledger) in self.ledgers.iter_mut().enumerate() {
            let correct = self.verdict.correct[row];
            if !correct {
                self.adversarial.replace(row, self.iterate.image(row));
            }
            if ledger.enter(iteration, self.verdict.loss[row], correct) {
                self.best.replace(row, self.iterate.image(row));
                self.best_gradient.replace(row, self.gradient.image(row));
            }
        }
    }

    /// Images whose step size is halved go on from their best point. `previous` is left as it is: the next momentum
    /// term then reaches from the old point to the best one, as in the reference.
    fn halve_where_stuck(&mut self, after: u32, window: u32) {
        for (row, ledger) in self.ledgers.iter_mut().enumerate() {
            if ledger.halve_if_stuck(after, window) {
                self.iterate.replace(row, self.best.image(row));
                self.gradient.replace(row, self.best_gradient.image(row));
            }
        }
    }

    fn finish(mut self) -> Finished<T> {
        for (seen, ledger) in self.seen.iter_mut().zip(&self.ledgers) {
            seen.iteration = ledger.first_broken;
        }
        Finished { highest: self.best, adversarial: self.adversarial, ledgers: self.ledgers, seen: self.seen }
    }

    fn show(&self, index: u32, observer: &mut Observer<'_>) {
        observer(&Iteration {
            index,
            losses: &self.verdict.loss,
            correct: &self.verdict.correct,
            ledgers: &self.ledgers,
            iterate: &|row| self.iterate.image(row).iter().map(|z| z.to_f64()).collect(),
        });
    }
}

pub(super) fn look(seen: &mut [Seen], verdict: &Verdict) {
    for (row, seen) in seen.iter_mut().enumerate() {
        seen.look(verdict.margin[row], verdict.cross_entropy[row]);
    }
}
