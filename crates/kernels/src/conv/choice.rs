//! Which algorithm computes an f32 convolution: the one place where that is decided.

use std::cell::Cell;

#[cfg(target_arch = "x86_64")]
use super::tiles;
use super::{dense, few, shape::ConvShape, winograd};
use crate::precision::Precision;
use crate::scoped;
#[cfg(target_arch = "x86_64")]
use crate::simd::Isa;

/// The algorithms for f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// A quarter of the products, and some times the rounding.
    Winograd,
    /// The definition's own products.
    Direct,
    /// The same products but for those with padding, as a fully connected layer.
    Dense,
    /// A fully connected layer's products, of few images: the same as the direct ones, in another order of reading.
    Few,
    /// The definition's own products, by tiles of bf16.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

thread_local! {
    static DIRECT_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// The products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The output's, or the input gradient's: both write images.
    Images,
    WeightGradient,
}

/// The faster algorithm for a pass of this convolution, of those that the calling thread allows.
pub(crate) fn algorithm(precision: Precision, s: &ConvShape, pass: Pass) -> Algorithm {
    match () {
        // Its factors are never rounded, and a batch's size must not decide whether they are.
        () if precision == Precision::F32 && few::suits(s) => Algorithm::Few,
        #[cfg(target_arch = "x86_64")]
        () if precision == Precision::Bf16 && tiles::suits(Isa::of(precision), s) && tiles_win(s, pass) => {
            Algorithm::Tiles
        }
        () if dense::suits(s) => Algorithm::Dense,
        () if !DIRECT_ALONE.get() && winograd::suits(s) => Algorithm::Winograd,
        () => Algorithm::Direct,
    }
}

/// Whether tiles of bf16 are faster than the other algorithms, which use them too.
///
/// A quarter of the products is still worth the transforms of images, which are read and written as they are; so is packing 1×1 kernels'
/// pixels, and the few channels of a stem.
#[cfg(target_arch = "x86_64")]
fn tiles_win(s: &ConvShape, pass: Pass) -> bool {
    let pointwise = (s.kernel, s.stride, s.padding) == (1, 1, 0);
    match pass {
        Pass::Images => s.in_channels >= winograd::LINE && !pointwise && (DIRECT_ALONE.get() || !winograd::suits(s)),
        Pass::WeightGradient => true,
    }
}

/// Runs `work` with every f32 convolution that this thread begins computed directly: about half as fast, and rounded as finely
/// as PyTorch's. For comparisons with a reference, where rounding that flips a ReLU looks like a fault.
pub fn with_direct_convolutions<R>(work: impl FnOnce() -> R) -> R {
    scoped::with(&DIRECT_ALONE, true, work)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::Conv2dConfig;

    #[test]
    fn winograd_is_chosen_again_after_direct_work_even_if_it_panics() {
        let tensor = |dims: [usize; 4]| Tensor::zeros(&dims, DType::F32, &Device::Cpu).unwrap();
        let config = Conv2dConfig { stride: 1, padding: 1 };
        let shape = ConvShape::new(&tensor([1, 16, 8, 8]), &tensor([16, 16, 3, 3]), config).unwrap();
        assert_eq!(algorithm(Precision::F32, &shape, Pass::Images), Algorithm::Winograd);
        assert_eq!(with_direct_convolutions(|| algorithm(Precision::F32, &shape, Pass::Images)), Algorithm::Direct);
        let panicked = std::panic::catch_unwind(|| with_direct_convolutions(|| panic!("a failing test")));
        assert!(panicked.is_err());
        assert_eq!(algorithm(Precision::F32, &shape, Pass::Images), Algorithm::Winograd);
    }
}
