//! Products of bf16: vectors whose lanes hold two neighbouring terms of a sum, each rounded to bf16, the earlier in the low half.
//!
//! The processor multiplies both and adds them to a sum of f32, twice the products of an f32 instruction. It takes numbers below
//! f32's normal range (1e-38) for zero.

use std::arch::x86_64::*;

use super::Sums;

/// Sixteen sums of f32, or as a factor sixteen pairs of bf16.
#[derive(Clone, Copy)]
pub(crate) struct Pairs(__m512);

impl Sums for Pairs {
    const LANES: usize = 16;
    const TERMS: usize = 2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller checked the instruction set.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller checked the instruction set and the pointer.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller checked the instruction set and the pointer.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller checked the instruction set; both types are 64 bytes without invalid values.
        unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a.0), std::mem::transmute::<__m512, __m512bh>(b.0));
            Self(_mm512_dpbf16_ps(self.0, a, b))
        }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: the caller checked the instruction set.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
}

/// Rounds sixteen numbers to bf16, next to each other.
///
/// # Safety
/// The processor must have `avx512bf16`; `to` can be written for 8 numbers.
#[inline(always)]
pub(crate) unsafe fn store_rounded(numbers: __m512, to: *mut f32) {
    // SAFETY: the caller's promises; both types are 32 bytes without invalid values.
    unsafe {
        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers));
        _mm256_storeu_si256(to.cast(), rounded);
    }
}

/// Rounds sixteen numbers to bf16, each as the earlier term of a lane whose later one becomes zero.
///
/// # Safety
/// The processor must have `avx512bf16`; `to` can be written for 16 numbers.
#[inline(always)]
pub(crate) unsafe fn store_first(numbers: __m512, to: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe { _mm512_storeu_si512(to.cast(), low_halves(numbers)) }
}

/// Rounds sixteen numbers to bf16, each as the later term of a lane whose earlier one is there.
///
/// # Safety
/// The processor must have `avx512bf16`; `to` can be read and written for 16 numbers.
#[inline(always)]
pub(crate) unsafe fn store_second(numbers: __m512, to: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe {
        let high = _mm512_slli_epi32::<16>(low_halves(numbers));
        _mm512_storeu_si512(to.cast(), _mm512_or_si512(_mm512_loadu_si512(to.cast()), high));
    }
}

#[inline(always)]
unsafe fn low_halves(numbers: __m512) -> __m512i {
    // SAFETY: the caller checked the instruction set; both types are 32 bytes without invalid values.
    unsafe { _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers))) }
}

/// Joins two rows of `len` terms to one of pairs: `to[i]` holds `first[i]` and `second[i]`. Works by sixteens, so that up to 15 numbers
/// more are read and written; `to` may begin where `first` does, or before.
///
/// # Safety
/// The processor must have AVX-512 and `avx512bf16`; the pointers must be valid for `len` numbers, rounded up to a multiple of 16.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
pub(crate) unsafe fn join(first: *const f32, second: *const f32, len: usize, to: *mut f32) {
    // SAFETY: the caller's promises; all types are 64 bytes without invalid values.
    unsafe {
        let mut at = 0;
        while at < len {
            let (first, second) = (_mm512_loadu_ps(first.add(at)), _mm512_loadu_ps(second.add(at)));
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            let (first, second) = (_mm512_castsi512_si256(halves), _mm512_extracti64x4_epi64::<1>(halves));
            let first = _mm512_cvtepu16_epi32(first);
            let second = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(second));
            _mm512_storeu_si512(to.add(at).cast(), _mm512_or_si512(first, second));
            at += 16;
        }
    }
}

/// Rounds `count` lines of sixteen numbers to bf16, those of `second` beside those of `first`: line `i` of both goes to `to[i * stride..]`, as
/// sixteen pairs of neighbours.
///
/// # Safety
/// The processor must have AVX-512 and `avx512bf16`; the pointers must be valid for that.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
pub(crate) unsafe fn side_by_side(first: *const f32, second: *const f32, count: usize, to: *mut f32, stride: usize) {
    // SAFETY: the caller's promises; both types are 64 bytes without invalid values.
    unsafe {
        for i in 0..count {
            let (first, second) = (_mm512_loadu_ps(first.add(16 * i)), _mm512_loadu_ps(second.add(16 * i)));
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            _mm512_storeu_si512(to.add(i * stride).cast(), halves);
        }
    }
}

/// Rounds `count` lines of sixteen numbers to bf16, and joins each of `first` and of `second` to sixteen pairs at `to[i * stride..]`.
///
/// # Safety
/// As [`side_by_side`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
pub(crate) unsafe fn join_lines(first: *const f32, second: *const f32, count: usize, to: *mut f32, stride: usize) {
    for i in 0..count {
        // SAFETY: the caller's promises.
        unsafe { join(first.add(16 * i), second.add(16 * i), 16, to.add(i * stride)) };
    }
}
