//! Networks whose passes end with the job, so that a search of thousands of them on one batch need not know of stopping.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Error, Result, Tensor};
use rrm_models::{Model, Output};
use rrm_spec::Mode;

/// A network that makes no pass once the job is told to stop: whoever asks for one gets an error, which becomes
/// [`crate::error::Halt::Stopped`] on its way out. Until then it is the network, bit by bit.
#[derive(Clone, Copy)]
pub(crate) struct Interruptible<'a> {
    model: &'a dyn Model,
    stop: &'a AtomicBool,
}

impl<'a> Interruptible<'a> {
    pub(crate) fn new(model: &'a dyn Model, stop: &'a AtomicBool) -> Self {
        Self { model, stop }
    }
}

impl Model for Interruptible<'_> {
    fn forward(&self, pixels: &Tensor, mode: Mode) -> Result<Output> {
        must_go_on(self.stop)?;
        #[cfg(test)]
        tests::count_pass(self.stop);
        self.model.forward(pixels, mode)
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn dtype(&self) -> DType {
        self.model.dtype()
    }
}

/// Why a pass was not made.
#[derive(Debug, thiserror::Error)]
#[error("the job was told to stop")]
struct Interrupted;

/// Fails once the job is told to stop.
pub(crate) fn must_go_on(stop: &AtomicBool) -> Result<()> {
    match stop.load(Ordering::Relaxed) {
        // Of the errors that candle can carry this one keeps its type.
        true => Err(Error::WrappedContext { wrapped: Box::new(Interrupted), context: "before a pass".to_owned() }),
        false => Ok(()),
    }
}

/// Whether an error only says that the job was told to stop.
pub(crate) fn is_interruption(error: &Error) -> bool {
    match error {
        Error::WrappedContext { wrapped, .. } => {
            wrapped.is::<Interrupted>() || wrapped.downcast_ref::<Error>().is_some_and(is_interruption)
        }
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } | Error::WithPath { inner, .. } => {
            is_interruption(inner)
        }
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use candle_core::Context;

    use super::*;

    thread_local! {
        static PASSES: Cell<u64> = const { Cell::new(0) };
        static LAST: Cell<u64> = const { Cell::new(u64::MAX) };
    }

    /// Runs `job` on this thread and tells how many passes interruptible networks made. The job is told to stop during the pass
    /// number `last`, counted from 1.
    pub(crate) fn stopped_in_pass<T>(last: u64, job: impl FnOnce() -> T) -> (T, u64) {
        PASSES.set(0);
        LAST.set(last);
        let ended = job();
        LAST.set(u64::MAX);
        (ended, PASSES.get())
    }

    /// The same undisturbed.
    pub(crate) fn passes_of<T>(job: impl FnOnce() -> T) -> (T, u64) {
        stopped_in_pass(u64::MAX, job)
    }

    pub(super) fn count_pass(stop: &AtomicBool) {
        PASSES.set(PASSES.get() + 1);
        stop.fetch_or(PASSES.get() == LAST.get(), Ordering::Relaxed);
    }

    #[test]
    fn an_interruption_is_known_in_whatever_candle_wraps_it() {
        let interruption = || must_go_on(&AtomicBool::new(true));
        assert!(must_go_on(&AtomicBool::new(false)).is_ok());
        assert!(is_interruption(&interruption().unwrap_err()));
        assert!(is_interruption(&interruption().context("an attack").unwrap_err()));
        assert!(is_interruption(&interruption().unwrap_err().with_path("a/file")));
        assert!(!is_interruption(&Error::Msg("the job was told to stop".to_owned())));
    }
}
