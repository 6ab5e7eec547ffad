//! Which algorithm computes an f32 convolution: the one place where that is decided.

use std::cell::Cell;

use super::{dense, few, shape::ConvShape, winograd};
use crate::precision::Precision;
use crate::scoped;

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
}

thread_local! {
    static DIRECT_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// The faster algorithm for this convolution, of those that the calling thread allows.
pub(crate) fn algorithm(precision: Precision, s: &ConvShape) -> Algorithm {
    match () {
        // Its factors are never rounded, and a batch's size must not decide whether they are.
        () if precision == Precision::F32 && few::suits(s) => Algorithm::Few,
        () if dense::suits(s) => Algorithm::Dense,
        () if !DIRECT_ALONE.get() && winograd::suits(s) => Algorithm::Winograd,
        () => Algorithm::Direct,
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
        assert_eq!(algorithm(Precision::F32, &shape), Algorithm::Winograd);
        assert_eq!(with_direct_convolutions(|| algorithm(Precision::F32, &shape)), Algorithm::Direct);
        let panicked = std::panic::catch_unwind(|| with_direct_convolutions(|| panic!("a failing test")));
        assert!(panicked.is_err());
        assert_eq!(algorithm(Precision::F32, &shape), Algorithm::Winograd);
    }
}
