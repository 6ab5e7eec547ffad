//! One image's books: its losses, its step size, and when it was broken.

/// The share of steps of a window that must raise the loss, for the step size to stay.
const RISING_SHARE: f64 = 0.75;

/// Whether at most three quarters of the `window` steps up to `last` (counted from 0) raised the loss.
///
/// `losses` has room for all steps of a run, and zeros where there was none yet. The reference compares the very first
/// step with the array's last entry (index -1), and not with the starting point's loss, which is not in the array. So
/// with a loss above 0, such as the cross-entropy, the first step always counts as a rise, unless it is the only one.
pub fn oscillates(losses: &[f64], last: usize, window: usize) -> bool {
    let before = |step: usize| step.checked_sub(1).unwrap_or(losses.len() - 1);
    let rising = (0..window).map(|back| last - back).filter(|&step| losses[step] > losses[before(step)]).count();
    rising as f64 <= window as f64 * RISING_SHARE
}

/// One image's books.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    losses: Vec<f64>,
    pub(super) step_size: f64,
    pub(super) best_loss: f64,
    best_at_checkpoint: f64,
    halved_at_checkpoint: bool,
    pub(super) first_broken: Option<u32>,
    pub(super) last_broken: Option<u32>,
}

impl Ledger {
    /// Opens the books with the starting point.
    pub(super) fn open(iterations: u32, step_size: f64, loss: f64, correct: bool) -> Self {
        let broken = (!correct).then_some(0);
        Self {
            losses: vec![0.0; iterations as usize],
            step_size,
            best_loss: loss,
            best_at_checkpoint: loss,
            // Keeps the first checkpoint from halving only because the best loss is still the start's.
            halved_at_checkpoint: true,
            first_broken: broken,
            last_broken: broken,
        }
    }

    /// Enters an iteration (counted from 1); says whether its loss is the highest so far.
    pub(super) fn enter(&mut self, iteration: u32, loss: f64, correct: bool) -> bool {
        if !correct {
            self.first_broken.get_or_insert(iteration);
            self.last_broken = Some(iteration);
        }
        self.losses[iteration as usize - 1] = loss;
        let improved = loss > self.best_loss;
        if improved {
            self.best_loss = loss;
        }
        improved
    }

    /// Halves the step size where the loss oscillates, or where the best has not risen since a checkpoint at which the
    /// step size was kept. Says whether it did.
    pub(super) fn halve_if_stuck(&mut self, after: u32, window: u32) -> bool {
        let stale = !self.halved_at_checkpoint && self.best_at_checkpoint >= self.best_loss;
        let halved = stale || oscillates(&self.losses, after as usize - 1, window as usize);
        if halved {
            self.step_size /= 2.0;
        }
        self.halved_at_checkpoint = halved;
        self.best_at_checkpoint = self.best_loss;
        halved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(losses: &[f64]) -> Ledger {
        let mut ledger = Ledger::open(20, 2.0, 1.0, true);
        for (step, &loss) in losses.iter().enumerate() {
            ledger.enter(step as u32 + 1, loss, true);
        }
        ledger
    }

    #[test]
    fn the_first_step_is_compared_with_the_end_of_the_array() {
        // Below the start's loss of 1, and yet a rise, since it is above the last entry's 0: 4 of 4 rise.
        assert!(!ledger(&[0.5, 0.6, 0.7, 0.8]).halve_if_stuck(4, 4));
        // A loss below 0, as DLR may have, is none: 3 of 4 rise.
        assert!(ledger(&[-0.5, 0.6, 0.7, 0.8]).halve_if_stuck(4, 4));
        // A run of one step compares the step with itself.
        assert!(oscillates(&[0.5], 0, 1));
    }

    #[test]
    fn three_rises_of_four_are_too_few() {
        assert!(ledger(&[1.5, 1.6, 1.4, 1.5]).halve_if_stuck(4, 4));
        assert!(!ledger(&[1.5, 1.6, 1.7, 1.8]).halve_if_stuck(4, 4));
    }

    #[test]
    fn a_stale_best_halves_only_after_a_checkpoint_that_did_not() {
        let mut ledger = ledger(&[1.5, 1.6, 1.7, 1.8]);
        assert!(!ledger.halve_if_stuck(4, 4));
        for (iteration, loss) in [(5, 1.2), (6, 1.3), (7, 1.4), (8, 1.5), (9, 1.6)] {
            ledger.enter(iteration, loss, true);
        }
        // All of the window's four steps rise, but not above the best.
        assert!(ledger.halve_if_stuck(9, 4));
        for (iteration, loss) in [(10, 1.61), (11, 1.62), (12, 1.63), (13, 1.64)] {
            ledger.enter(iteration, loss, true);
        }
        assert!(!ledger.halve_if_stuck(13, 4));
        assert_eq!(ledger.step_size, 1.0);
    }

    #[test]
    fn first_and_last_misclassified_iterate_are_kept() {
        let mut ledger = Ledger::open(5, 2.0, 1.0, true);
        for (iteration, correct) in [(1, true), (2, false), (3, true), (4, false), (5, true)] {
            ledger.enter(iteration, 1.0, correct);
        }
        assert_eq!((ledger.first_broken, ledger.last_broken), (Some(2), Some(4)));
        assert_eq!(Ledger::open(5, 2.0, 1.0, false).last_broken, Some(0));
    }
}
