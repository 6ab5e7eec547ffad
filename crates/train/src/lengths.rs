//! How long images are, as vectors.

use candle_core::{D, Result, Tensor};

/// The Euclidean length of each image: (N, 1, 1, 1).
pub(crate) fn lengths(images: &Tensor) -> Result<Tensor> {
    images.sqr()?.flatten_from(1)?.sum(D::Minus1)?.sqrt()?.reshape((images.dim(0)?, 1, 1, 1))
}
