//! Batch normalisation of (N, C, …) tensors over everything but the channel, with residual and activation fused in.

mod eval;
mod statistics;
mod sums;
mod train;

use candle_core::{Result, Tensor, bail};

pub use eval::batch_norm_eval;
pub(crate) use eval::scale_and_shift;
#[cfg(feature = "cuda")]
pub(crate) use statistics::Wanted;
pub(crate) use sums::{mask, sum as plane_sum};
pub use train::{BatchStatistics, batch_norm_train};

use crate::epilogue::Epilogue;

/// Sizes of a batch-norm: (N, C, …) with `plane` numbers per image and channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormShape {
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) plane: usize,
}

impl NormShape {
    /// Checks that `x`, the per-channel vectors and the epilogue fit together.
    fn new(x: &Tensor, per_channel: &[&Tensor], epilogue: &Epilogue<'_>) -> Result<Self> {
        let &[images, channels, ref rest @ ..] = x.dims() else {
            bail!("batch norm: the input must be (N, C, ...), not {:?}", x.shape());
        };
        for vector in per_channel {
            if vector.dims() != [channels] {
                bail!("batch norm: a parameter is {:?} for {channels} channels", vector.shape());
            }
        }
        if epilogue.residual.is_some_and(|residual| residual.dims() != x.dims()) {
            bail!("batch norm: the residual must have the shape {:?} of the input", x.shape());
        }
        Ok(Self { images, channels, plane: rest.iter().product() })
    }

    /// Numbers that a channel's statistics are taken over.
    pub(crate) fn population(&self) -> usize {
        self.images * self.plane
    }

    /// First number of channel `c` in each image.
    fn planes(&self, c: usize) -> impl Iterator<Item = usize> + use<> {
        let (channels, plane) = (self.channels, self.plane);
        (0..self.images).map(move |n| (n * channels + c) * plane)
    }
}
