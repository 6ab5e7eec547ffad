//! The innermost loops of fully connected layers of few images: weights stream by, sums stay in registers or in the first-level cache.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
use std::mem::MaybeUninit;

use crate::conv::shape::ConvShape;
use crate::simd::{Four, Isa, Sums};

/// `c[row][image] = Σ_k a[row * terms + k] * b[k * b_stride + image]` for `ROWS` rows and `COLUMNS` vectors of images, rows of `c`
/// `b_stride` apart. Sums run over `k` in order.
///
/// # Safety
/// `a` can be read for `ROWS` rows, `b` for `COLUMNS` vectors at every term; `c` can be written for that.
#[inline(always)]
unsafe fn outputs<V: Sums, const ROWS: usize, const COLUMNS: usize>(
    terms: usize,
    a: *const f32,
    mut b: *const f32,
    b_stride: usize,
    c: *mut f32,
) {
    // SAFETY: the caller guarantees the reads and writes.
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
        for k in 0..terms {
            // Loops, not closures: those would not have the instruction set, and so call every instruction.
            let mut images = [V::splat(0.0); COLUMNS];
            for (n, images) in images.iter_mut().enumerate() {
                *images = V::load(b.add(n * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*a.add(row * terms + k));
                for (sum, &images) in sums.iter_mut().zip(&images) {
                    *sum = sum.plus_product(weight, images);
                }
            }
            b = b.add(b_stride);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                sum.store(c.add(row * b_stride + n * V::LANES));
            }
        }
    }
}

/// `c[image * c_stride + i] += Σ_row g[image * g_stride + row] * w[row * w_stride + i]` for `ROWS` rows, in order, and `inputs` inputs,
/// a multiple of the vector's lanes.
///
/// # Safety
/// All of these can be read, and `c` written.
#[inline(always)]
unsafe fn inputs<V: Sums, const ROWS: usize>(
    images: usize,
    (g, g_stride): (*const f32, usize),
    (w, w_stride): (*const f32, usize),
    inputs: usize,
    (c, c_stride): (*mut f32, usize),
) {
    // SAFETY: the caller guarantees the reads and writes.
    unsafe {
        for at in (0..inputs).step_by(V::LANES) {
            let mut weights = [V::splat(0.0); ROWS];
            for (row, weights) in weights.iter_mut().enumerate() {
                *weights = V::load(w.add(row * w_stride + at));
            }
            for image in 0..images {
                let to = c.add(image * c_stride + at);
                let mut sum = V::load(to);
                for (row, &weights) in weights.iter().enumerate() {
                    sum = sum.plus_product(V::splat(*g.add(image * g_stride + row)), weights);
                }
                sum.store(to);
            }
        }
    }
}

/// `c[row * x_stride + i] = Σ_image g[image * g_stride + row] * x[image * x_stride + i]` for `ROWS` rows and `VECTORS` vectors of inputs.
///
/// # Safety
/// All of these can be read, and `c` written.
#[inline(always)]
unsafe fn weights<V: Sums, const ROWS: usize, const VECTORS: usize>(
    images: usize,
    (g, g_stride): (*const f32, usize),
    (x, x_stride): (*const f32, usize),
    c: *mut f32,
) {
    // SAFETY: the caller guarantees the reads and writes.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        for image in 0..images {
            let mut inputs = [V::splat(0.0); VECTORS];
            for (n, inputs) in inputs.iter_mut().enumerate() {
                *inputs = V::load(x.add(image * x_stride + n * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let gradient = V::splat(*g.add(image * g_stride + row));
                for (sum, &inputs) in sums.iter_mut().zip(&inputs) {
                    *sum = sum.plus_product(gradient, inputs);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                sum.store(c.add(row * x_stride + n * V::LANES));
            }
        }
    }
}

type Outputs = unsafe fn(usize, *const f32, *const f32, usize, *mut f32);
type Inputs = unsafe fn(usize, (*const f32, usize), (*const f32, usize), usize, (*mut f32, usize));
type Weights = unsafe fn(usize, (*const f32, usize), (*const f32, usize), *mut f32);

/// Something for so many rows at once.
type ByRows<F> = (usize, F);

/// The kernels of one instruction set, each for many rows and for one.
pub(super) struct Kernels {
    /// Images per vector.
    pub(super) lanes: usize,
    /// For one vector of images, and for two.
    outputs: [[ByRows<Outputs>; 2]; 2],
    inputs: [ByRows<Inputs>; 2],
    weights: [ByRows<Weights>; 2],
}

/// Vectors of inputs that [`weights`] takes.
const VECTORS: usize = 2;

/// Cuts `0..rows` into blocks that the kernels take, the largest first.
fn blocks<F: Copy>(rows: usize, kernels: [ByRows<F>; 2]) -> impl Iterator<Item = (usize, F)> {
    let [(many, by_many), (_, by_one)] = kernels;
    let whole = rows / many * many;
    (0..whole).step_by(many).map(move |row| (row, by_many)).chain((whole..rows).map(move |row| (row, by_one)))
}

impl Kernels {
    /// The kernels for `isa`.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Avx512Amx => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            Isa::Portable => &PORTABLE,
        }
    }

    /// `sums[output][image] = Σ weight[output][input] * images[input][image]`; the images' rows fill whole vectors.
    pub(super) fn forward(&self, inputs: usize, weight: &[f32], images: &[f32], sums: &mut [f32]) {
        let (outputs, width) = (weight.len() / inputs, images.len() / inputs);
        assert!(weight.len() == outputs * inputs && images.len() == width * inputs && sums.len() >= outputs * width);
        assert!(width.is_multiple_of(self.lanes));
        let mut column = 0;
        while column < width {
            let vectors = if width - column > self.lanes { 2 } else { 1 };
            for (output, kernel) in blocks(outputs, self.outputs[vectors - 1]) {
                // SAFETY: the kernels belong to this processor; the asserts bound the rows of all three.
                unsafe {
                    let from = (weight.as_ptr().add(output * inputs), images.as_ptr().add(column));
                    kernel(inputs, from.0, from.1, width, sums.as_mut_ptr().add(output * width + column));
                }
            }
            column += vectors * self.lanes;
        }
    }

    /// `sums[image][i] += Σ gradient[image][output] * weight[output][i]` over all outputs, for the first `inputs` numbers of the
    /// weight's rows; rows of sums are `stride` apart.
    pub(super) fn input_gradient(
        &self,
        s: &ConvShape,
        gradient: &[f32],
        weight: &[f32],
        inputs: usize,
        (sums, stride): (&mut [f32], usize),
    ) {
        assert!(gradient.len() == s.images * s.out_channels && inputs <= stride && sums.len() >= s.images * stride);
        assert!((s.out_channels - 1) * s.in_channels + inputs <= weight.len() && inputs.is_multiple_of(self.lanes));
        for (output, kernel) in blocks(s.out_channels, self.inputs) {
            // SAFETY: the kernels belong to this processor; the asserts bound what is read of all rows, and the sums.
            unsafe {
                let gradient = (gradient.as_ptr().add(output), s.out_channels);
                let weight = (weight.as_ptr().add(output * s.in_channels), s.in_channels);
                kernel(s.images, gradient, weight, inputs, (sums.as_mut_ptr(), stride));
            }
        }
    }

    /// `out[output][input] = Σ gradient[image][output] * x[image][input]` for as many outputs as `out` has rows; `gradient` begins with
    /// the first of them.
    pub(super) fn weight_gradient(&self, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
        let (inputs, step) = (s.in_channels, VECTORS * self.lanes);
        let outputs = out.len() / inputs;
        assert!(x.len() == s.images * inputs && inputs.is_multiple_of(step) && out.len() == outputs * inputs);
        assert!((s.images - 1) * s.out_channels + outputs <= gradient.len());
        for (output, kernel) in blocks(outputs, self.weights) {
            for input in (0..inputs).step_by(step) {
                // SAFETY: the kernels belong to this processor; the asserts bound what is read and written of all rows.
                unsafe {
                    let gradient = (gradient.as_ptr().add(output), s.out_channels);
                    let x = (x.as_ptr().add(input), inputs);
                    kernel(s.images, gradient, x, out.as_mut_ptr().add(output * inputs + input).cast());
                }
            }
        }
    }
}

/// Writes the loops once more for one instruction set, with as many rows as fit its registers.
macro_rules! kernels {
    (
        $table:ident, $module:ident, $vector:ty, $(#[$feature:meta])?
        outputs: [$narrow:literal, $wide:literal], inputs: $inputs:literal, weights: $weights:literal
    ) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            pub(super) unsafe fn outputs<const ROWS: usize, const COLUMNS: usize>(
                terms: usize,
                a: *const f32,
                b: *const f32,
                b_stride: usize,
                c: *mut f32,
            ) {
                // SAFETY: the same contract.
                unsafe { super::outputs::<$vector, ROWS, COLUMNS>(terms, a, b, b_stride, c) }
            }

            $(#[$feature])?
            pub(super) unsafe fn inputs<const ROWS: usize>(
                images: usize,
                g: (*const f32, usize),
                w: (*const f32, usize),
                inputs: usize,
                c: (*mut f32, usize),
            ) {
                // SAFETY: the same contract.
                unsafe { super::inputs::<$vector, ROWS>(images, g, w, inputs, c) }
            }

            $(#[$feature])?
            pub(super) unsafe fn weights<const ROWS: usize>(
                images: usize,
                g: (*const f32, usize),
                x: (*const f32, usize),
                c: *mut f32,
            ) {
                // SAFETY: the same contract.
                unsafe { super::weights::<$vector, ROWS, VECTORS>(images, g, x, c) }
            }
        }

        static $table: Kernels = Kernels {
            lanes: <$vector as Sums>::LANES,
            outputs: [
                [($narrow, $module::outputs::<$narrow, 1>), (1, $module::outputs::<1, 1>)],
                [($wide, $module::outputs::<$wide, 2>), (1, $module::outputs::<1, 2>)],
            ],
            inputs: [($inputs, $module::inputs::<$inputs>), (1, $module::inputs::<1>)],
            weights: [($weights, $module::weights::<$weights>), (1, $module::weights::<1>)],
        };
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(AVX512, avx512, __m512, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    outputs: [7, 7], inputs: 8, weights: 8);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, avx2, __m256, #[target_feature(enable = "avx2,fma")] outputs: [8, 6], inputs: 8, weights: 4);
kernels!(PORTABLE, portable, Four, outputs: [4, 2], inputs: 4, weights: 2);
