//! The innermost loops of the direct convolution.
//!
//! All keep a small matrix of vectors in registers. Vectors run along pixels; a *row* is an output channel. What a row is
//! multiplied with is either packed, or found through a table of offsets into the planes of one image group. Packed factors may be
//! bf16: then each number is a pair of neighbouring terms.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

#[cfg(target_arch = "x86_64")]
use crate::simd::Pairs;
use crate::simd::{Four, Isa, Join, Sums, Vector};

/// `c[row][pixel] = Σ_k a[k][row] * b[k * b_stride + pixel]` for `ROWS` rows and `COLUMNS` vectors of pixels.
///
/// Every sum runs over `k` in order, so that an output's bits do not depend on where its pixel lies in a vector.
///
/// # Safety
/// `a` holds `terms * ROWS` numbers; `b` can be read for `COLUMNS` vectors at every term; row `r` of `c` can be written for
/// `COLUMNS` vectors from `r * c_stride`.
#[inline(always)]
unsafe fn spread<V: Sums, const ROWS: usize, const COLUMNS: usize>(
    terms: usize,
    mut a: *const f32,
    mut b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller guarantees the reads and writes named above.
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
        for _ in 0..terms {
            // A loop, not a closure: that would not have the instruction set, and so call every instruction.
            let mut pixels = [V::splat(0.0); COLUMNS];
            for (n, pixels) in pixels.iter_mut().enumerate() {
                *pixels = V::load(b.add(n * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*a.add(row));
                for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                    *sum = sum.plus_product(weight, pixels);
                }
            }
            a = a.add(ROWS);
            b = b.wrapping_add(b_stride);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                sum.store(c.add(row * c_stride + n * V::LANES));
            }
        }
    }
}

/// `c[row][k] += Σ_pixel a[row * a_stride + pixel] * b[offsets[k] + pixel]` over `vectors` vectors of pixels, for `ROWS`
/// rows and `TERMS` offsets.
///
/// # Safety
/// `a` and `b` can be read for `vectors` vectors at every row and offset; row `r` of `c` can be written for `TERMS` numbers
/// from `r * c_stride`.
#[inline(always)]
unsafe fn gather<V: Vector, const ROWS: usize, const TERMS: usize>(
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    offsets: &[u32; TERMS],
    vectors: usize,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller guarantees the reads and writes named above.
    unsafe {
        let mut sums = [[V::splat(0.0); TERMS]; ROWS];
        let mut pixel = 0;
        while pixel < vectors * V::LANES {
            let mut terms = [V::splat(0.0); TERMS];
            for (term, &offset) in terms.iter_mut().zip(offsets) {
                *term = V::load(b.add(offset as usize + pixel));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let row = V::load(a.add(row * a_stride + pixel));
                for (sum, &term) in sums.iter_mut().zip(&terms) {
                    *sum = sum.plus_product(row, term);
                }
            }
            pixel += V::LANES;
        }
        for (row, sums) in sums.iter().enumerate() {
            for (k, sum) in sums.iter().enumerate() {
                *c.add(row * c_stride + k) += sum.sum();
            }
        }
    }
}

/// `c[row][pixel] = Σ_k a[k][row] * b[offsets[k] + pixel]` for `ROWS` rows and `COLUMNS` vectors of pixels, in the same order.
///
/// # Safety
/// `a` holds `offsets.len() * ROWS` numbers; `b` can be read for `COLUMNS` vectors at every offset; row `r` of `c` can be
/// written for `COLUMNS` vectors from `r * c_stride`.
#[inline(always)]
unsafe fn spread_in_place<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    offsets: &[u32],
    mut a: *const f32,
    b: *const f32,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller guarantees the reads and writes named above.
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
        for &offset in offsets {
            let mut pixels = [V::splat(0.0); COLUMNS];
            for (n, pixels) in pixels.iter_mut().enumerate() {
                *pixels = V::load(b.add(offset as usize + n * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*a.add(row));
                for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                    *sum = sum.plus_product(weight, pixels);
                }
            }
            a = a.add(ROWS);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                sum.store(c.add(row * c_stride + n * V::LANES));
            }
        }
    }
}

/// Copies runs of pixels one behind the other: `to` starts at the first run's place.
///
/// Runs are copied by whole vectors; what one writes too much the next overwrites.
///
/// # Safety
/// Every run can be read from `from`, and `to` written behind the last run, for a vector more than its length.
#[inline(always)]
unsafe fn collect<V: Vector>(runs: &[Run], from: *const f32, mut to: *mut f32) {
    for run in runs {
        // SAFETY: the caller guarantees the reads and writes.
        unsafe {
            let from = from.add(run.from as usize);
            let mut pixel = 0;
            while pixel < run.len as usize {
                V::load(from.add(pixel)).store(to.add(pixel));
                pixel += V::LANES;
            }
            to = to.add(run.len as usize);
        }
    }
}

/// Pixels that lie next to each other in a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: u32,
    pub(crate) len: u32,
}

/// [`spread`] for a fixed number of rows.
pub(crate) type Spread = unsafe fn(usize, *const f32, *const f32, usize, *mut f32, usize);

/// [`spread_in_place`] for a fixed number of rows.
pub(crate) type SpreadInPlace = unsafe fn(&[u32], *const f32, *const f32, *mut f32, usize);

/// [`collect`].
pub(crate) type Collect = unsafe fn(&[Run], *const f32, *mut f32);

/// [`gather`] for a fixed number of rows and terms; `offsets` has `terms` entries.
pub(crate) type Gather = unsafe fn(
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    offsets: *const u32,
    vectors: usize,
    c: *mut f32,
    c_stride: usize,
);

/// The kernels of one instruction set; entry `i` of a table is for `i + 1` rows.
pub(crate) struct Kernels {
    pub(crate) isa: Isa,
    /// Numbers per vector.
    pub(crate) lanes: usize,
    /// Rows of packed numbers that a product takes at once: both factors are filled up to a multiple with zeros.
    pub(crate) step: usize,
    /// Makes pairs of two rows of terms, where packed numbers are pairs.
    pub(crate) join: Option<Join>,
    /// All take [`COLUMNS`] vectors of pixels.
    pub(crate) spread: &'static [Spread],
    /// Each with the vectors of pixels that it takes at once.
    pub(crate) spread_in_place: &'static [(SpreadInPlace, usize)],
    pub(crate) collect: Collect,
    /// `gather[terms - 1][rows - 1]`.
    pub(crate) gather: &'static [&'static [Gather]],
}

/// Vectors of pixels that [`spread`] takes at once.
pub(crate) const COLUMNS: usize = 2;

impl Kernels {
    /// Pixels that are multiplied at once.
    pub(crate) fn block(&self) -> usize {
        COLUMNS * self.lanes
    }

    /// Terms that a packed number holds.
    pub(crate) fn terms(&self) -> usize {
        if self.join.is_some() { 2 } else { 1 }
    }

    /// Rows of `terms` packed terms, and those that fill up the products' step.
    pub(crate) fn packed_rows(&self, terms: usize) -> usize {
        terms.div_ceil(self.terms()).next_multiple_of(self.step)
    }

    /// Whether products take whole tiles of a processor's: then weights are packed row by row, in blocks of 16 by 16 numbers.
    pub(crate) fn in_blocks(&self) -> bool {
        self.step > 1
    }

    /// The kernels of `isa` for so many rows: those that read their factors in place, because there are few, take f32 alone.
    pub(crate) fn for_rows(isa: Isa, rows: usize) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 | Isa::Avx512Amx if rows <= AVX512.spread_in_place.len() => &AVX512,
            _ => Self::of(isa),
        }
    }

    /// The kernels for `isa`.
    pub(crate) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => &AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Amx => &super::tiles::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            Isa::Portable => &PORTABLE,
        }
    }
}

/// Writes the two loops once more for one instruction set, with a table over the register tiles that fit its registers.
macro_rules! kernels {
    (
        $table:ident, $isa:ident, $module:ident, $vector:ty, $(#[$feature:meta])?
        spread: [$($rows:literal),*],
        in_place: [$(($few:literal, $columns:literal)),*],
        gather: [$([$(($r:literal, $t:literal)),*]),*]
    ) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            pub(super) unsafe fn spread<const ROWS: usize>(
                terms: usize,
                a: *const f32,
                b: *const f32,
                b_stride: usize,
                c: *mut f32,
                c_stride: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { super::spread::<$vector, ROWS, COLUMNS>(terms, a, b, b_stride, c, c_stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn spread_in_place<const ROWS: usize, const COLUMNS: usize>(
                offsets: &[u32],
                a: *const f32,
                b: *const f32,
                c: *mut f32,
                c_stride: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { super::spread_in_place::<$vector, ROWS, COLUMNS>(offsets, a, b, c, c_stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn collect(runs: &[Run], from: *const f32, to: *mut f32) {
                // SAFETY: the same contract.
                unsafe { super::collect::<$vector>(runs, from, to) }
            }

            $(#[$feature])?
            pub(super) unsafe fn gather<const ROWS: usize, const TERMS: usize>(
                a: *const f32,
                a_stride: usize,
                b: *const f32,
                offsets: *const u32,
                vectors: usize,
                c: *mut f32,
                c_stride: usize,
            ) {
                // SAFETY: the same contract; the caller passes `TERMS` offsets.
                unsafe {
                    let offsets = &*offsets.cast::<[u32; TERMS]>();
                    super::gather::<$vector, ROWS, TERMS>(a, a_stride, b, offsets, vectors, c, c_stride)
                }
            }
        }

        pub(super) static $table: Kernels = Kernels {
            isa: Isa::$isa,
            lanes: <$vector as Sums>::LANES,
            step: 1,
            join: None,
            spread: &[$($module::spread::<$rows>),*],
            spread_in_place: &[$(($module::spread_in_place::<$few, $columns>, $columns)),*],
            collect: $module::collect,
            gather: &[$(&[$($module::gather::<$r, $t>),*]),*],
        };
    };
}

// 32 registers: 28 sums, two vectors of pixels, one weight; gathering, 24 sums, 6 vectors of pixels, one row.
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, Avx512, avx512, __m512, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    spread: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    in_place: [(1, 6), (2, 6), (3, 6), (4, 6)],
    gather: [
        [(1, 1), (2, 1), (3, 1), (4, 1)], [(1, 2), (2, 2), (3, 2), (4, 2)], [(1, 3), (2, 3), (3, 3), (4, 3)],
        [(1, 4), (2, 4), (3, 4), (4, 4)], [(1, 5), (2, 5), (3, 5), (4, 5)], [(1, 6), (2, 6), (3, 6), (4, 6)]
    ]
);

/// [`AVX512`], with packed factors of bf16.
#[cfg(target_arch = "x86_64")]
mod avx512_bf16 {
    use super::*;

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn spread<const ROWS: usize>(
        pairs: usize,
        a: *const f32,
        b: *const f32,
        b_stride: usize,
        c: *mut f32,
        c_stride: usize,
    ) {
        // SAFETY: the same contract.
        unsafe { super::spread::<Pairs, ROWS, COLUMNS>(pairs, a, b, b_stride, c, c_stride) }
    }

    macro_rules! spreads {
        ($($rows:literal),*) => { &[$(spread::<$rows>),*] };
    }

    pub(super) static KERNELS: Kernels = Kernels {
        isa: Isa::Avx512Bf16,
        lanes: AVX512.lanes,
        step: 1,
        join: Some(crate::simd::pairs::join),
        spread: spreads!(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
        spread_in_place: &[],
        collect: AVX512.collect,
        gather: AVX512.gather,
    };
}
#[cfg(target_arch = "x86_64")]
use avx512_bf16::KERNELS as AVX512_BF16;

// 16 registers: 12 sums, two or three vectors of pixels, one weight or row.
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, Avx2, avx2, __m256, #[target_feature(enable = "avx2,fma")]
    spread: [1, 2, 3, 4, 5, 6],
    in_place: [(1, 6), (2, 5), (3, 3), (4, 3)],
    gather: [
        [(1, 1), (2, 1), (3, 1), (4, 1)], [(1, 2), (2, 2), (3, 2), (4, 2)], [(1, 3), (2, 3), (3, 3), (4, 3)]
    ]
);

kernels!(PORTABLE, Portable, portable, Four,
    spread: [1, 2, 3, 4],
    in_place: [(1, 6), (2, 5), (3, 3), (4, 3)],
    gather: [
        [(1, 1), (2, 1), (3, 1), (4, 1)], [(1, 2), (2, 2), (3, 2), (4, 2)], [(1, 3), (2, 3), (3, 3), (4, 3)]
    ]
);
