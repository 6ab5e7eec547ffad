//! Working memory that a thread keeps between tasks.

use std::cell::Cell;

/// Numbers that threads keep working memory of.
pub(crate) trait Kept: Copy + 'static {
    /// What new memory is filled with: in unit tests NaN, so that a number which is read before it is written shows.
    const FILL: Self;
    /// Takes the thread's memory, leaving none.
    fn take() -> Vec<Self>;
    /// Gives it back.
    fn keep(memory: Vec<Self>);
}

/// One thread-local slot per number type: a thread-local cannot be generic.
macro_rules! kept {
    ($slot:ident, $number:ty) => {
        thread_local! {
            static $slot: Cell<Vec<$number>> = const { Cell::new(Vec::new()) };
        }

        impl Kept for $number {
            const FILL: Self = if cfg!(test) { <$number>::NAN } else { 0.0 };

            fn take() -> Vec<Self> {
                $slot.take()
            }

            fn keep(memory: Vec<Self>) {
                $slot.set(memory);
            }
        }
    };
}

kept!(SINGLE, f32);
kept!(DOUBLE, f64);

/// Where working memory starts, in bytes: at a cache line, since vectors and tiles that straddle two are read far more slowly.
pub(crate) const ALIGNMENT: usize = 64;

/// Runs `work` with `len` numbers of working memory, whose content is arbitrary, from a multiple of 64 bytes on.
pub(crate) fn with<T: Kept, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    // Taken out for the time of the work: should `work` come here again on this thread, it gets memory of its own.
    let mut memory = T::take();
    let room = len + ALIGNMENT / size_of::<T>();
    if memory.len() < room {
        memory.resize(room, T::FILL);
    }
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let result = work(&mut memory[start..start + len]);
    T::keep(memory);
    result
}
