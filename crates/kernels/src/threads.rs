//! How many threads the CPU kernels use.

/// Starts the kernels' threads (rayon's global pool) with `n` of them and returns the number in force: the pool is made
/// once per process, so a later call, or one after the first kernel ran, changes nothing.
///
/// The calling thread is one of them, for as long as the process lives: it begins what it asks for itself, where another thread would first
/// have to wake up, and it would have to sleep. So it must not wait for a thread that needs this pool; those that prepare batches do not.
pub fn set_threads(n: usize) -> usize {
    // The only error is a pool that already runs, whose size the caller learns from the return value.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(n.max(1)).use_current_thread().build_global();
    threads()
}

/// Number of threads the CPU kernels use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
