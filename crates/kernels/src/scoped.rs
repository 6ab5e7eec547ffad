//! Settings of a thread for the time of some work.

use std::cell::Cell;
use std::thread::LocalKey;

/// Runs `work` with `slot` set to `value`, and sets it back, even if `work` panics.
pub(crate) fn with<T: Copy + 'static, R>(slot: &'static LocalKey<Cell<T>>, value: T, work: impl FnOnce() -> R) -> R {
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(slot, slot.replace(value));
    work()
}
