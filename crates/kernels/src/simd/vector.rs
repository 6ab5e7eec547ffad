//! Vectors of f32, one type per width.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of sums, and the products that are added to them: all that a matrix product needs.
///
/// # Safety of its functions
/// The processor must have the vector's instruction set, and pointers must be valid for `LANES` numbers; nothing needs to be
/// aligned.
pub(crate) trait Sums: Copy {
    /// Numbers per vector.
    const LANES: usize;
    /// Neighbouring terms of a sum that lie in one number of a factor: 1, or 2 halves.
    const TERMS: usize;

    /// The same number in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// Reads `LANES` numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut f32);
    /// `self + a * b`, summed over the lanes' terms; for one term rounded once where the instruction set can.
    unsafe fn plus_product(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    unsafe fn plus(self, other: Self) -> Self;
}

/// A vector of f32.
///
/// # Safety of its functions
/// As for [`Sums`].
pub(crate) trait Vector: Sums {
    /// `self - a * b`, rounded as `plus_product`.
    unsafe fn minus_product(self, a: Self, b: Self) -> Self;
    /// `self - other`.
    unsafe fn minus(self, other: Self) -> Self;
    /// `self * other`.
    unsafe fn times(self, other: Self) -> Self;
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
    /// Transposes `LANES` rows of `LANES` numbers: row `i` of `to` becomes column `i` of `from`.
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize);
}

/// Writes the arithmetic of a vector type that has an instruction for each.
#[cfg(target_arch = "x86_64")]
macro_rules! arithmetic {
    ($($name:ident($($arg:ident),*) = $instruction:ident($($operand:ident),*);)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($arg: Self),*) -> Self {
            let this = self;
            // SAFETY: the caller checked the instruction set.
            unsafe { $instruction($(arithmetic!(@ this $operand)),*) }
        }
    )*};
    (@ $this:ident this) => { $this };
    (@ $this:ident $operand:ident) => { $operand };
}

#[cfg(target_arch = "x86_64")]
impl Sums for __m512 {
    const LANES: usize = 16;
    const TERMS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller checked the instruction set.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller checked the instruction set and the pointer.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller checked the instruction set and the pointer.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    arithmetic! {
        plus_product(a, b) = _mm512_fmadd_ps(a, b, this);
        plus(other) = _mm512_add_ps(this, other);
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    arithmetic! {
        minus_product(a, b) = _mm512_fnmadd_ps(a, b, this);
        minus(other) = _mm512_sub_ps(this, other);
        times(other) = _mm512_mul_ps(this, other);
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the caller checked the instruction set.
        unsafe { _mm512_reduce_add_ps(self) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller checked the instruction set and the pointers.
        unsafe {
            // Loops, not closures: a closure would not have the instruction set, and so call every instruction.
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Self::load(from.add(i * from_stride));
            }
            // Numbers of two rows, then of four, then of eight and sixteen, come together in one vector.
            let mut twos = rows;
            for i in (0..16).step_by(2) {
                twos[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                twos[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
            }
            let mut fours = twos;
            for i in (0..16).step_by(4) {
                for half in 0..2 {
                    let (a, b) = (_mm512_castps_pd(twos[i + half]), _mm512_castps_pd(twos[i + half + 2]));
                    fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for column in 0..4 {
                let [a, b, c, d] = [fours[column], fours[4 + column], fours[8 + column], fours[12 + column]];
                let low = _mm512_shuffle_f32x4::<0x88>(a, b);
                let high = _mm512_shuffle_f32x4::<0xdd>(a, b);
                let other_low = _mm512_shuffle_f32x4::<0x88>(c, d);
                let other_high = _mm512_shuffle_f32x4::<0xdd>(c, d);
                _mm512_shuffle_f32x4::<0x88>(low, other_low).store(to.add(column * to_stride));
                _mm512_shuffle_f32x4::<0x88>(high, other_high).store(to.add((column + 4) * to_stride));
                _mm512_shuffle_f32x4::<0xdd>(low, other_low).store(to.add((column + 8) * to_stride));
                _mm512_shuffle_f32x4::<0xdd>(high, other_high).store(to.add((column + 12) * to_stride));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for __m256 {
    const LANES: usize = 8;
    const TERMS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller checked the instruction set.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller checked the instruction set and the pointer.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller checked the instruction set and the pointer.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    arithmetic! {
        plus_product(a, b) = _mm256_fmadd_ps(a, b, this);
        plus(other) = _mm256_add_ps(this, other);
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    arithmetic! {
        minus_product(a, b) = _mm256_fnmadd_ps(a, b, this);
        minus(other) = _mm256_sub_ps(this, other);
        times(other) = _mm256_mul_ps(this, other);
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the caller checked the instruction set.
        unsafe {
            let halves = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller checked the instruction set and the pointers.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Self::load(from.add(i * from_stride));
            }
            let mut twos = rows;
            for i in (0..8).step_by(2) {
                twos[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
                twos[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
            }
            let mut fours = twos;
            for i in (0..8).step_by(4) {
                for half in 0..2 {
                    let (a, b) = (_mm256_castps_pd(twos[i + half]), _mm256_castps_pd(twos[i + half + 2]));
                    fours[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                    fours[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
                }
            }
            for column in 0..4 {
                let (a, b) = (fours[column], fours[4 + column]);
                _mm256_permute2f128_ps::<0x20>(a, b).store(to.add(column * to_stride));
                _mm256_permute2f128_ps::<0x31>(a, b).store(to.add((column + 4) * to_stride));
            }
        }
    }
}

/// Four numbers, for processors without wide vectors.
#[derive(Clone, Copy)]
pub(crate) struct Four([f32; 4]);

impl Sums for Four {
    const LANES: usize = 4;
    const TERMS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller checked that four numbers can be read.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller checked that four numbers can be written.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn plus_product(self, a: Self, b: Self) -> Self {
        // Not mul_add: without the instruction it is a slow library call.
        Self(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
}

impl Vector for Four {
    #[inline(always)]
    unsafe fn minus_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - a.0[lane] * b.0[lane]))
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller checked the pointers.
        unsafe {
            let rows: [Self; 4] = std::array::from_fn(|i| Self::load(from.add(i * from_stride)));
            for column in 0..4 {
                Self(std::array::from_fn(|i| rows[i].0[column])).store(to.add(column * to_stride));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    fn transposes<V: Vector>() {
        let lanes = V::LANES;
        let from: Vec<f32> = (0..lanes * 40).map(|i| i as f32).collect();
        let mut to = vec![0.0; lanes * 30];
        // SAFETY: the caller checked the instruction set; the vectors are as large as the strides need.
        unsafe { V::transpose(from.as_ptr(), 40, to.as_mut_ptr(), 30) };
        for row in 0..lanes {
            for column in 0..lanes {
                assert_eq!(to[row * 30 + column], from[column * 40 + row]);
            }
        }
    }

    #[test]
    fn every_width_transposes() {
        for isa in Isa::available() {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 | Isa::Avx512Bf16 | Isa::Avx512Amx => transposes::<__m512>(),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => transposes::<__m256>(),
                Isa::Portable => transposes::<Four>(),
            }
        }
    }
}
