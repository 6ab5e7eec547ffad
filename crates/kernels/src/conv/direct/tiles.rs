//! [`super::kernel::spread`] by AMX's tiles of 16×16 sums.
//!
//! A tile's rows are 16 output channels, each with 32 terms next to each other, so that weights are packed channel by channel; the packed
//! pixels, rows of pairs of terms, are the other factor as they lie. Two blocks of 16 channels are multiplied with two blocks of 16
//! pixels at a time: four sums of 16×16 are in work, and each tile that is read serves two products. Panels are filled up to whole blocks of
//! channels; where sums of channels come out that nobody asked for, they go by way of a buffer.

use super::kernel::{AVX512, COLUMNS, Kernels};
use crate::simd::Isa;
use crate::simd::tiles::{Factor, PAIRS, ROWS, TILE, Target, product};

/// Pixels that are multiplied at once.
const BLOCK: usize = COLUMNS * ROWS;

/// For `CHANNELS` rows, up to two blocks of them, in `pairs` pairs of terms, a multiple of 16.
///
/// # Safety
/// As [`super::kernel::spread`], with blocks of whole tiles in `a`; the thread is ready for the tiles.
unsafe fn spread<const CHANNELS: usize>(
    pairs: usize,
    a: *const f32,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
) {
    let steps = pairs / PAIRS;
    let a = Factor { first: a, row: PAIRS, step: TILE, next: steps * TILE };
    let b = Factor { first: b, row: b_stride, step: PAIRS * b_stride, next: ROWS };
    let target = |first, row| Target { first, row, down: ROWS * row, right: ROWS };
    // SAFETY: the same contract; the buffer has room for two by two tiles.
    unsafe {
        if CHANNELS.is_multiple_of(ROWS) {
            return multiply::<CHANNELS>(steps, a, b, target(c, c_stride));
        }
        let mut sums = Sums([0.0; 2 * ROWS * BLOCK]);
        multiply::<CHANNELS>(steps, a, b, target(sums.0.as_mut_ptr(), BLOCK));
        for (row, sums) in sums.0.chunks_exact(BLOCK).take(CHANNELS).enumerate() {
            std::ptr::copy_nonoverlapping(sums.as_ptr(), c.add(row * c_stride), BLOCK);
        }
    }
}

#[repr(align(64))]
struct Sums([f32; 2 * ROWS * BLOCK]);

/// # Safety
/// As [`product`].
unsafe fn multiply<const CHANNELS: usize>(steps: usize, a: Factor, b: Factor, c: Target) {
    // SAFETY: the same contract.
    unsafe {
        if CHANNELS > ROWS {
            product::<2, COLUMNS>(steps, a, b, c, false);
        } else {
            product::<1, COLUMNS>(steps, a, b, c, false);
        }
    }
}

macro_rules! spreads {
    ($($rows:literal),*) => { &[$(spread::<$rows>),*] };
}

/// The kernels of tiles; what is not packed is f32.
pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx512Amx,
    lanes: ROWS,
    step: PAIRS,
    join: Some(crate::simd::pairs::join),
    spread: spreads!(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
        31, 32
    ),
    spread_in_place: &[],
    collect: AVX512.collect,
    gather: AVX512.gather,
};
