//! Dropout (Srivastava et al. 2014) whose masks depend on where training is, and on nothing else.
//!
//! Training says which step begins ([`Network::restart_dropout`](crate::Network::restart_dropout)); from there on each dropout
//! layer that a pass in train mode comes to takes the next mask. So a training that was interrupted and resumed drops what it
//! would have dropped anyway, and there is no generator's state to save.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};
use rrm_spec::Mode;

use crate::random::absorbed;

/// The share of numbers that become 0 in every network of the paper that drops any.
const SHARE: f64 = 0.5;

/// Which mask comes next; shared by a network's layers and by those of its frozen views.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks(Arc<Mutex<Next>>);

/// The mask of (seed, step, number), the number counting from the step's first.
#[derive(Debug, Default)]
struct Next {
    seed: u64,
    step: u64,
    number: u64,
}

impl Masks {
    /// Has the masks of a step come next.
    pub(crate) fn restart(&self, seed: u64, step: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Next { seed, step, number: 0 };
    }

    /// The key of the next mask.
    fn next(&self) -> u64 {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.number += 1;
        [next.seed, next.step, next.number].into_iter().fold(0, absorbed)
    }
}

/// In train mode, each number becomes 0 with probability one half and is doubled otherwise; in eval mode nothing happens.
pub(crate) struct Dropout {
    masks: Masks,
}

impl Dropout {
    pub(crate) fn new(masks: &Masks) -> Self {
        Self { masks: masks.clone() }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Train => rrm_kernels::dropout(x, SHARE, self.masks.next()),
            Mode::Eval => Ok(x.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_mask_has_a_key_of_its_own_and_a_restart_repeats_them() {
        let (masks, mut seen) = (Masks::default(), HashSet::new());
        for (seed, step) in [(0, 0), (0, 1), (1, 0), (1, 1), (u64::MAX, u64::MAX)] {
            masks.restart(seed, step);
            let keys = [(); 4].map(|()| masks.next());
            assert!(keys.iter().all(|key| seen.insert(*key)), "{seed} {step}: {keys:?}");
            masks.clone().restart(seed, step);
            assert_eq!([(); 4].map(|()| masks.next()), keys);
        }
    }
}
