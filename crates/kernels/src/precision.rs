//! How finely products of f32 are computed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
