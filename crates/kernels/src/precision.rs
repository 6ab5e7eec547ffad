//! How finely products of f32 are computed.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::scoped;
use crate::simd::Isa;

/// What the factors of a product are rounded to. Sums, weights, activations and everything between two products stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To eight bits, with f32's range: nothing overflows or vanishes that did not before.
    Bf16,
}

thread_local! {
    static PRECISION: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `work` with the convolutions that this thread begins in it, and their gradients whenever these are asked for, in
/// `precision`, as `torch.autocast` does.
///
/// This means f32 tensors on the CPU: f64 is never rounded, and on a CUDA device the type of the activations decides instead.
/// Everything but convolutions stays f32, and so do those passes that bf16 would not make faster (gradients of images with up to four
/// channels, and of few weights, on processors without AMX). A processor without [`bf16_products`] computes all of it in f32.
pub fn autocast<R>(precision: Precision, work: impl FnOnce() -> R) -> R {
    scoped::with(&PRECISION, precision, work)
}

impl Precision {
    /// That of the work which this thread is doing.
    pub(crate) fn current() -> Self {
        PRECISION.get()
    }
}

/// Whether [`Precision::Bf16`] makes a difference: whether this processor has `avx512_bf16`, and `RRM_KERNELS_ISA` does not forbid it.
pub fn bf16_products() -> bool {
    Isa::of(Precision::Bf16) != Isa::best()
}

static TF32: AtomicBool = AtomicBool::new(false);

/// Allows NVIDIA's tensor cores to round the factors of f32 products to ten bits (TF32): several times faster, and as coarse
/// as a half-precision number. Off until asked for, since an attack's gradient signs and a paper's figures depend on it; the
/// CPU never does it. For the whole process.
pub fn allow_tf32(allowed: bool) {
    TF32.store(allowed, Relaxed);
    candle_core::cuda::set_gemm_reduced_precision_f32(allowed);
}

/// Whether [`allow_tf32`] was asked for.
pub fn tf32_allowed() -> bool {
    TF32.load(Relaxed)
}
