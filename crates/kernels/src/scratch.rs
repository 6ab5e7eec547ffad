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

/// Runs `work` with `len` numbers of working memory, whose content is arbitrary.
pub(crate) fn with<T: Kept, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    // Taken out for the time of the work: should `work` come here again on this thread, it gets memory of its own.
    let mut memory = T::take();
    if memory.len() < len {
        memory.resize(len, T::FILL);
    }
    let result = work(&mut memory[..len]);
    T::keep(memory);
    result
}
