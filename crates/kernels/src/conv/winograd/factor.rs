//! How a line of transformed numbers is written as a factor of the products: in f32, or in bf16 as one side of pairs.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

use crate::simd::Vector;
#[cfg(target_arch = "x86_64")]
use crate::simd::pairs;

/// How the line of a point is written that will be a factor of a product.
pub(super) trait Factor<V> {
    /// Writes the vector that starts with channel `channel` of the line at `to`.
    ///
    /// # Safety
    /// The processor has the vector's instruction set; `to` can be written for a line.
    unsafe fn write(vector: V, to: *mut f32, channel: usize);
}

/// As it is.
pub(super) struct Whole;

impl<V: Vector> Factor<V> for Whole {
    #[inline(always)]
    unsafe fn write(vector: V, to: *mut f32, channel: usize) {
        // SAFETY: the caller's promise.
        unsafe { vector.store(to.add(channel)) }
    }
}

/// In bf16, channels next to each other: the product sums over pairs of channels.
#[cfg(target_arch = "x86_64")]
pub(super) struct Along;

#[cfg(target_arch = "x86_64")]
impl Factor<__m512> for Along {
    #[inline(always)]
    unsafe fn write(vector: __m512, to: *mut f32, _: usize) {
        // SAFETY: the caller's promise; a line is one vector.
        unsafe { pairs::store_rounded(vector, to) }
    }
}

/// In bf16, as the earlier term of pairs, beside zeros.
#[cfg(target_arch = "x86_64")]
pub(super) struct First;

#[cfg(target_arch = "x86_64")]
impl Factor<__m512> for First {
    #[inline(always)]
    unsafe fn write(vector: __m512, to: *mut f32, _: usize) {
        // SAFETY: the caller's promise; a line is one vector.
        unsafe { pairs::store_first(vector, to) }
    }
}

/// In bf16, as the later term of pairs whose earlier ones are there.
#[cfg(target_arch = "x86_64")]
pub(super) struct Second;

#[cfg(target_arch = "x86_64")]
impl Factor<__m512> for Second {
    #[inline(always)]
    unsafe fn write(vector: __m512, to: *mut f32, _: usize) {
        // SAFETY: the caller's promise; a line is one vector.
        unsafe { pairs::store_second(vector, to) }
    }
}
