//! Working memory that a thread keeps between tasks.

use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with `len` numbers of working memory, whose content is arbitrary.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // Taken out for the time of the work: should `work` come here again on this thread, it gets memory of its own.
    let mut memory = KEPT.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    let result = work(&mut memory[..len]);
    KEPT.set(memory);
    result
}
