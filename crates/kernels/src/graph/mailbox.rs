//! Where gradients wait beside the graph.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};

use crate::sgd::add_in_place;

/// Where gradients wait for the operation that yielded their tensor.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Option<Letter>>);

/// A gradient that waits.
pub(super) struct Letter {
    pub(super) gradient: Tensor,
    /// Whether nobody else holds the gradient, so that others can be added in place.
    pub(super) owned: bool,
}

impl Mailbox {
    /// Adds `gradient` to what waits here.
    pub(super) fn deliver(&self, gradient: Tensor, owned: bool) -> Result<()> {
        let mut letter = lock(&self.0);
        *letter = Some(match letter.take() {
            None => Letter { gradient, owned },
            Some(waiting) if waiting.owned => {
                add_in_place(&waiting.gradient, &gradient)?;
                waiting
            }
            Some(waiting) => Letter { gradient: (waiting.gradient + gradient)?, owned: true },
        });
        Ok(())
    }

    pub(super) fn take(&self) -> Option<Letter> {
        lock(&self.0).take()
    }
}

/// A panic in another thread leaves a mailbox or the register as it was between two statements, which is a valid state.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
