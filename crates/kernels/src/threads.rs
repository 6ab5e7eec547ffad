//! How many threads the CPU kernels use.

/// Starts the kernels' threads (rayon's global pool) with `n` of them and returns the number in force: the pool is made
/// once per process, so a later call, or one after the first kernel ran, changes nothing.
///
/// Of several the calling thread is one, for as long as the process lives: it begins what it asks for itself, where another thread would
/// first have to wake up, and it would have to sleep. A single one is a thread of its own: a caller that waits for what others compute,
/// such as the next batch, would else wait for itself.
pub fn set_threads(n: usize) -> usize {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n.max(1));
    let pool = if n > 1 { pool.use_current_thread() } else { pool };
    // The only error is a pool that already runs, whose size the caller learns from the return value.
    let _ = pool.build_global();
    threads()
}

/// Number of threads the CPU kernels use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
