//! The machine's own limits: how many operations and bytes per second it can do at all.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// What no program on this machine goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Threads of the figures with `all` in their name.
    pub threads: usize,
    /// GFLOP/s of multiply-adds on registers alone, f32, on one core; a multiply-add is two.
    pub peak_one: f64,
    /// The same on all threads at once.
    pub peak_all: f64,
    /// GB/s that one core reads and writes in a triad `a = b + s·c` over memory.
    pub bandwidth_one: f64,
    /// The same on all threads at once.
    pub bandwidth_all: f64,
}

/// Measurements of which the best counts: a limit is what is reached undisturbed.
const ATTEMPTS: usize = 5;

impl Limits {
    /// Measures this machine's, in about ten seconds.
    pub fn measure(threads: usize) -> Self {
        let peak = |threads| best_rate(threads, || {}, |()| multiply_adds(MULTIPLY_ADD_ROUNDS));
        let bandwidth = |threads| best_rate(threads, Triad::new, Triad::pass);
        let giga = 1e-9;
        Self {
            threads,
            peak_one: peak(1) * giga,
            peak_all: peak(threads) * giga,
            bandwidth_one: bandwidth(1) * giga,
            bandwidth_all: bandwidth(threads) * giga,
        }
    }
}

/// How much per second `threads` threads do together, where `work` tells how much it did; each has its own state.
fn best_rate<S>(threads: usize, state: impl Fn() -> S + Sync, work: impl Fn(&mut S) -> u64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let attempt = |state: &mut S| {
        barrier.wait();
        let start = Instant::now();
        let done = work(state);
        (done, start.elapsed())
    };
    let attempts = || {
        let mut state = state();
        (0..ATTEMPTS).map(|_| attempt(&mut state)).collect::<Vec<_>>()
    };
    let of_threads: Vec<Vec<(u64, Duration)>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(attempts)).collect();
        handles.into_iter().map(|handle| handle.join().expect("the work does not panic")).collect()
    });
    let rate = |attempt: usize| {
        let done: u64 = of_threads.iter().map(|attempts| attempts[attempt].0).sum();
        let slowest = of_threads.iter().map(|attempts| attempts[attempt].1).max();
        done as f64 / slowest.expect("there is a thread").as_secs_f64()
    };
    (0..ATTEMPTS).map(rate).fold(0.0, f64::max)
}

/// About a third of a second.
const MULTIPLY_ADD_ROUNDS: u64 = 80_000_000;

/// Chains of multiply-adds: more than latency times throughput of any core there is, and few enough for registers.
const CHAINS: usize = 12;

/// Does `rounds` rounds in the widest registers that the processor has; returns the operations.
fn multiply_adds(rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { multiply_adds_avx512(rounds) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            return unsafe { multiply_adds_avx2(rounds) };
        }
    }
    multiply_adds_portable(rounds)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn multiply_adds_avx512(rounds: u64) -> u64 {
    let (factor, term) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
    let mut chains = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, factor, term);
        }
    }
    black_box(chains);
    rounds * CHAINS as u64 * 16 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_adds_avx2(rounds: u64) -> u64 {
    let (factor, term) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
    let mut chains = [_mm256_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, term);
        }
    }
    black_box(chains);
    rounds * CHAINS as u64 * 8 * 2
}

/// Without fused multiply-adds: separate multiplications and additions in what the compiler's baseline has.
fn multiply_adds_portable(rounds: u64) -> u64 {
    const LANES: usize = 4;
    let (factor, term) = (black_box(0.5_f32), black_box(1.0_f32));
    let mut chains = [[0.0_f32; LANES]; CHAINS];
    for _ in 0..rounds {
        for lane in chains.iter_mut().flatten() {
            *lane = *lane * factor + term;
        }
    }
    black_box(chains);
    rounds * (CHAINS * LANES) as u64 * 2
}

/// Three arrays, each far larger than any cache.
struct Triad {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Triad {
    const LENGTH: usize = 16 << 20;

    fn new() -> Self {
        // Not zeros, which the system would back by one page that is shared.
        let filled = |value| vec![black_box(value); Self::LENGTH];
        Self { a: filled(1.0), b: filled(2.0), c: filled(3.0) }
    }

    /// Computes a = b + s·c; returns the bytes that are read and written, without those that the cache fetches only to
    /// overwrite.
    fn pass(&mut self) -> u64 {
        let scale = black_box(0.5);
        for ((a, b), c) in self.a.iter_mut().zip(&self.b).zip(&self.c) {
            *a = b + scale * c;
        }
        black_box(&mut self.a);
        (3 * size_of::<f32>() * Self::LENGTH) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn operations_are_counted_in_every_width() {
        assert_eq!(multiply_adds_portable(10), 10 * 12 * 4 * 2);
        assert_eq!(multiply_adds(10) % (10 * 12 * 4 * 2), 0);
    }

    #[test]
    fn a_triad_computes_what_it_says() {
        let mut triad = Triad { a: vec![0.0; 2], b: vec![2.0; 2], c: vec![3.0; 2] };
        triad.pass();
        assert_eq!(triad.a, [3.5; 2]);
    }

    #[test]
    fn every_thread_works_in_every_attempt_on_its_own_state() {
        let (states, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let state = || states.fetch_add(1, Ordering::Relaxed);
        let work = |_: &mut usize| calls.fetch_add(1, Ordering::Relaxed) as u64;
        assert!(best_rate(3, state, work) > 0.0);
        assert_eq!((states.into_inner(), calls.into_inner()), (3, 3 * ATTEMPTS));
    }
}
