//! The step size that a batch shares.

use super::super::Checkpoint;

/// The share of a window's iterations that must raise the highest loss, for the step size to stay.
const RISING_SHARE: f64 = 0.75;

/// The decisions of a run of so many iterations, in ART's floating point: shares of 0.22, then windows 0.03 shorter each down to
/// 0.06, rounded up. Equal ones count once, and a decision falls in an iteration counted from 0, so that one more is done after it.
pub fn art_checkpoints(iterations: u32) -> Vec<Checkpoint> {
    let mut shares = vec![0.0, 0.22];
    loop {
        let (last, before) = (shares[shares.len() - 1], shares[shares.len() - 2]);
        let next = last + f64::max(last - before - 0.03, 0.06);
        if next > 1.0 {
            break;
        }
        shares.push(next);
    }
    let mut ends: Vec<u32> = shares.iter().map(|share| (share * f64::from(iterations)).ceil() as u32).collect();
    ends.dedup();
    let windows = ends.windows(2).filter(|pair| pair[1] < iterations);
    windows.map(|pair| Checkpoint { after: pair[1] + 1, window: pair[1] - pair[0] }).collect()
}

/// A batch's step size, and what decides on it.
#[derive(Clone, Debug)]
pub(super) struct StepSize {
    pub(super) length: f64,
    pub(super) best_loss: f64,
    /// Iterations since the last decision that raised the highest loss.
    pub(super) rises: u32,
    checkpoints: Vec<Checkpoint>,
    length_at_checkpoint: f64,
    best_at_checkpoint: f64,
}

impl StepSize {
    /// Of a run that starts with this mean loss.
    pub(super) fn new(iterations: u32, length: f64, loss: f64) -> Self {
        let checkpoints = art_checkpoints(iterations);
        let (length_at_checkpoint, best_at_checkpoint) = (length, loss);
        Self { length, best_loss: loss, rises: 0, checkpoints, length_at_checkpoint, best_at_checkpoint }
    }

    /// Enters an iteration (counted from 1); says whether it is the best so far, for which a first one as good as the start is
    /// enough.
    pub(super) fn enter(&mut self, iteration: u32, loss: f64) -> bool {
        let is_best = loss > self.best_loss || iteration == 1 && loss == self.best_loss;
        if is_best {
            self.best_loss = loss;
            self.rises += 1;
        }
        is_best
    }

    /// Halves the step size at a decision where too few iterations raised the highest loss, or where neither it nor the step size
    /// has changed since the last decision. Says whether it did.
    pub(super) fn halve_if_stuck(&mut self, iteration: u32) -> bool {
        let Some(checkpoint) = self.checkpoints.iter().find(|checkpoint| checkpoint.after == iteration) else {
            return false;
        };
        let is_oscillating = f64::from(self.rises) < RISING_SHARE * f64::from(checkpoint.window);
        let is_stale = self.length == self.length_at_checkpoint && self.best_loss == self.best_at_checkpoint;
        let halves = is_oscillating || is_stale;
        if halves {
            self.length /= 2.0;
        }
        self.rises = 0;
        (self.length_at_checkpoint, self.best_at_checkpoint) = (self.length, self.best_loss);
        halves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In ART's loop indices.
    fn decisions(iterations: u32) -> Vec<u32> {
        art_checkpoints(iterations).iter().map(|checkpoint| checkpoint.after - 1).collect()
    }

    #[test]
    fn decisions_fall_where_art_has_them() {
        assert_eq!(decisions(5), [2, 3, 4]);
        assert_eq!(decisions(10), [3, 5, 6, 8, 9]);
        assert_eq!(decisions(50), [11, 21, 29, 35, 40, 44, 47]);
        // 0.57 comes to a little more than itself.
        assert_eq!(decisions(100), [22, 41, 58, 70, 80, 87, 93, 99]);
    }

    #[test]
    fn a_step_size_is_halved_by_too_few_rises_or_by_none_since_the_last_decision() {
        let mut step_size = StepSize::new(10, 2.0, 1.0);
        for (iteration, loss) in [(1, 1.0), (2, 1.1), (3, 1.2), (4, 1.1)] {
            step_size.enter(iteration, loss);
        }
        // Three of three count: the decision of index 3 falls after the fourth iteration.
        assert!(!step_size.halve_if_stuck(4));
        assert!(!step_size.halve_if_stuck(5), "no decision falls here");
        step_size.enter(5, 1.0);
        assert!(step_size.halve_if_stuck(6));
        assert_eq!((step_size.length, step_size.rises), (1.0, 0));
    }
}
